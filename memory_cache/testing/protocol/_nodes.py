"""What the two nodes do: changes, reads, fences, subscriptions, and changes of role."""

from functools import cache

from memory_cache._types import Header
from memory_cache.testing.protocol._checks import applied_twice, history_broken
from memory_cache.testing.protocol._flaws import Flaw
from memory_cache.testing.protocol._model import Model
from memory_cache.testing.protocol._shapes import (
    NONE,
    Data,
    Fenced,
    FenceSent,
    Fetch,
    Made,
    Moment,
    Refused,
    Reply,
    Request,
    Span,
    World,
    Write,
    Written,
)


def execute(model: Model, world: World, node: int, request: Request) -> tuple[World, Reply]:
    """Let a node carry out one request, whole."""
    if isinstance(request, Fetch):
        return world, _read(world, node, request)
    if isinstance(request, FenceSent):
        return _fence(model, world, node, request)
    if node != world.primary:
        return world, Refused(request)
    world, version = change(model, world, request)
    return world, Written(request, version)


def change(model: Model, world: World, write: Write) -> tuple[World, int]:
    """Let the primary carry out a change, or find that it has; return its version."""
    data = world.data
    records = {} if model.flaw is Flaw.RESENT_WITHOUT_ID else dict(data.records)
    if write.operation in records:
        return world, records[write.operation]
    broken = applied_twice(data, write)
    made = _made(world, write)
    log, version = world.log, NONE
    if made is not None:
        log, version = (*log, made), len(log)
        broken = broken or history_broken(model, log)
    deletes = write.kind == "delete"
    kept = () if deletes and model.flaw is Flaw.RECORD_IN_SESSION else data.records
    own = () if deletes and model.flaw is Flaw.RECORD_IN_SESSION else ((write.operation, version),)
    after = Data(
        NONE if deletes else version,
        (*kept, *own),
        (*data.applied, write.operation),
        data.epoch,
    )
    world = world._replace(
        log=log,
        data=after,
        replica=after if world.relay else world.replica,
        past=(*world.past, data)[-world.left.lose :] if world.left.lose else (),
        broken=world.broken or broken,
    )
    if made is None:
        return world, version
    world = world._replace(truth=(*world.truth, Moment(world.now, after.version, version)))
    if model.flaw is Flaw.PUBLISHED_OUTSIDE:
        return world._replace(unpublished=(*world.unpublished, version)), version
    return publish(world, "delta", version), version


def _made(world: World, write: Write) -> Made | None:
    before = world.log[world.data.version] if world.data.version != NONE else None
    if before is None and write.kind == "delete":
        # It is told, too; but that can only make what is held suspect, as any gap does.
        return None
    tag, era = f"t{len(world.log)}", f"r{world.replids[world.primary]}"
    eras: tuple[tuple[str, int], ...] = ((era, 1),)
    if before is None:
        inc, num, edits = f"i{len(world.log)}", 1, 0
        messages: tuple[str, ...] = ()
    else:
        old, messages = before.header, before.messages
        inc, num, edits, eras = old.inc, old.num + 1, old.edits, old.eras
        if eras[-1][0] != era:
            eras = (*eras, (era, num))
    added: tuple[str, ...] = (write.operation,)
    if write.kind == "edit":
        messages, edits = (), edits + (before is not None)
    elif write.kind == "delete":
        added = ()
    messages += added
    header = _header(inc, num, tag, len(messages), edits, eras)
    return Made(
        header,
        before.header.tag if before else "-",
        write.kind == "append",
        messages,
        added,
        world.data.version,
    )


@cache
def _header(  # noqa: PLR0917  # the parts of a header that the protocol looks at
    inc: str, num: int, tag: str, next_: int, edits: int, eras: tuple[tuple[str, int], ...]
) -> Header:
    return Header(inc, num, tag, 0, next_, edits, 0, 0, 0, 0, 0, 0, 0, eras)


def publish(world: World, kind: str, number: int) -> World:
    """Send to the subscription, if it is at the primary, or at a replica that hears it."""
    sub = world.sub
    if sub.node == NONE or not (sub.node == world.primary or world.relay):
        return world
    if kind == "delta" and not sub.open:
        return world
    return world._replace(sub=sub._replace(inbox=(*sub.inbox, (kind, number))))


def _fence(model: Model, world: World, node: int, fence: FenceSent) -> tuple[World, Reply]:
    receivers = (world.sub.node == node) + world.ghosts[node]
    if model.flaw is Flaw.BARE_PUBLISH:
        if node == world.primary:
            world = publish(world, "nonce", fence.nonce)
        elif world.sub.node == node:
            inbox = (*world.sub.inbox, ("nonce", fence.nonce))
            world = world._replace(sub=world.sub._replace(inbox=inbox))
        return world, Fenced(fence, receivers, world.epoch, fence.replid)
    if node != world.primary:
        return world, Refused(fence)
    if world.data.epoch == NONE:
        # An epoch is made from the moment, which no other one shares.
        data = world.data._replace(epoch=len(world.truth))
        world = world._replace(data=data, replica=data if world.relay else world.replica)
    world = publish(world, "nonce", fence.nonce)
    return world, Fenced(fence, receivers, world.data.epoch, world.replids[node])


def _read(world: World, node: int, fetch: Fetch) -> Span:
    demoted = node != world.primary
    version = (world.replica if demoted else world.data).version
    if version == NONE:
        return Span(fetch, NONE, 0, (), demoted)
    now, start = world.log[version], 0
    if fetch.have != NONE:
        had = world.log[fetch.have].header
        same = (had.inc, had.edits) == (now.header.inc, now.header.edits)
        if same and had.next <= now.header.next:
            start = had.next
    return Span(fetch, version, start, now.messages[start:], demoted)


def serve_subscription(world: World) -> World:
    """Let the subscription's node take its next SUBSCRIBE or UNSUBSCRIBE, and confirm it."""
    sub = world.sub
    verb, *rest = sub.requests
    confirmed = {"SUBSCRIBE": (("open", 0),), "UNSUBSCRIBE": (("closed", 0),)}
    inbox = (*sub.inbox, *confirmed.get(verb, ()))
    sub = sub._replace(open=verb != "UNSUBSCRIBE", requests=tuple(rest), inbox=inbox)
    return world._replace(sub=sub)


def fail_over(world: World, lose: int) -> World:
    """Let the other node take over, without the last ``lose`` changes."""
    data = world.past[-lose] if lose else world.data
    new = 1 - world.primary
    replids = list(world.replids)
    replids[new] = max(replids) + 1
    truth = world.truth
    if data.version != world.data.version:
        truth = (*truth, Moment(world.now, data.version, NONE))
    return world._replace(
        primary=new,
        replids=(replids[0], replids[1]),
        relay=False,
        replica=world.data,
        data=data,
        past=(),
        truth=truth,
        left=world.left._replace(failovers=world.left.failovers - 1),
    )


def resync(world: World) -> World:
    """Let the other node begin to follow the primary; what it missed it loads, silently."""
    replid = world.replids[world.primary]
    left = world.left._replace(resyncs=world.left.resyncs - 1)
    return world._replace(relay=True, replica=world.data, replids=(replid, replid), left=left)


def flush(world: World) -> World:
    """Let the primary lose everything; nobody is told."""
    truth = world.truth
    if world.data.version != NONE:
        truth = (*truth, Moment(world.now, NONE, NONE))
    left = world.left._replace(flushes=world.left.flushes - 1)
    return world._replace(data=Data(), replica=Data(), past=(), truth=truth, left=left)
