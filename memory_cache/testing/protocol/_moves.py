"""Everything that can happen next, and what it is called in words."""

from collections.abc import Iterator
from typing import Final

from memory_cache.testing.protocol import _entry, _nodes, _process
from memory_cache.testing.protocol._checks import name
from memory_cache.testing.protocol._flaws import Flaw
from memory_cache.testing.protocol._model import Model
from memory_cache.testing.protocol._shapes import (
    NONE,
    Fenced,
    FenceSent,
    Fetch,
    Lane,
    Left,
    Own,
    Refused,
    Reply,
    Request,
    Span,
    World,
    Write,
)

Move = tuple[str, World]

_LETTERS: Final = "AB"


def moves(model: Model, world: World) -> Iterator[Move]:
    """Yield every next state, and what happens on the way to it."""
    yield from _others(model, world)
    yield from _commands(model, world)
    yield from _own_writes(model, world)
    yield from _on_the_way(model, world)
    yield from _connections(model, world)
    yield from _faults(model, world)


def _used(world: World, **now: int | tuple[str, ...]) -> World:
    left: Left = world.left._replace(**now)  # type: ignore[arg-type]  # one of its own fields each
    return world._replace(left=left)


def _others(model: Model, world: World) -> Iterator[Move]:
    left = world.left
    if left.others:
        kind, *rest = left.others
        write = Write(f"{kind[0]}{len(world.log) + 1}", kind)
        after = _used(world, others=tuple(rest))
        after = after._replace(done=(*after.done, write))
        after, version = _nodes.change(model, after, write)
        yield f"another process: {_done(after, write, version)}, and is acknowledged", after
    if left.again:
        for operation, kind in world.done:
            after, _ = _nodes.change(model, world, Write(operation, kind))
            after = _used(after, again=left.again - 1)
            yield f"another process sends the {kind} {operation} again: its answer was lost", after
    if world.unpublished:
        version, *later = world.unpublished
        after = world._replace(unpublished=tuple(later))
        yield f"the delta of {name(version)} is published", _nodes.publish(after, "delta", version)


def _commands(model: Model, world: World) -> Iterator[Move]:
    left, lane = world.left, world.lane
    connected = NONE not in {world.sub.node, lane.node}
    if connected and left.fetches:
        after = _entry.begin(model, _used(world, fetches=left.fetches - 1))
        sent = len(after.sub.requests) > len(world.sub.requests)
        yield f"a read asks the store{' and sends SUBSCRIBE' * sent}", after
    if connected and left.fences:
        after = _process.send_fence(_used(world, fences=left.fences - 1))
        yield f"the process sends fence {world.nonces}, at tick {world.now}", after
    yield from _lane(model, world, lane, "lane")
    yield from _lane(model, world, world.bulk, "bulk")


def _lane(model: Model, world: World, lane: Lane, which: str) -> Iterator[Move]:
    if lane.requests:
        request, *rest = lane.requests
        after = _with_lane(world, which, lane._replace(requests=tuple(rest)))
        if world.left.script_losses and isinstance(request, FenceSent):
            lost = _used(after, script_losses=world.left.script_losses - 1)
            lost = _answered(lost, which, Refused(request, again=True))
            yield f"node {_LETTERS[lane.node]} lost the script of fence {request.nonce}", lost
        after, reply = _nodes.execute(model, after, lane.node, request)
        yield _executed(lane.node, request, reply), _answered(after, which, reply)
    if lane.replies:
        reply, *later = lane.replies
        after = _with_lane(world, which, lane._replace(replies=tuple(later)))
        after = _process.told_reply(model, after, reply)
        yield f"the process gets the answer: {_said(reply)}", after


def _with_lane(world: World, which: str, lane: Lane) -> World:
    return world._replace(bulk=lane) if which == "bulk" else world._replace(lane=lane)


def _answered(world: World, which: str, reply: Reply) -> World:
    lane = world.bulk if which == "bulk" else world.lane
    return _with_lane(world, which, lane._replace(replies=(*lane.replies, reply)))


def _own_writes(model: Model, world: World) -> Iterator[Move]:
    left = world.left
    if left.own and world.lane.node != NONE:
        kind, *rest = left.own
        own = Own(f"own-{kind}{len(rest)}", kind, "sent")
        after = _process.send_write(_used(world, own=tuple(rest)), own)
        yield f"the process sends its {kind} {own.operation}", after
    for own in world.writes:
        if own.phase == "lost":
            if left.resends and world.lane.node != NONE:
                after = _process.send_write(_used(world, resends=left.resends - 1), own)
                yield f"the process sends its {own.kind} {own.operation} again", after
            after = _process.give_up(model, world, own)
            yield f"the process gives {own.operation} up: unknown whether it was made", after
        elif own.phase == "answered":
            after = _process.stop_waiting(model, world)
            yield f"the delta of {name(own.version)} is late: its writer waits no longer", after
    for at, (node, write) in enumerate(world.stray):
        after = world._replace(stray=world.stray[:at] + world.stray[at + 1 :])
        after, reply = _nodes.execute(model, after, node, write)
        yield f"late, from a closed connection: {_executed(node, write, reply)}", after


def _on_the_way(model: Model, world: World) -> Iterator[Move]:
    sub = world.sub
    if sub.requests:
        verb = sub.requests[0]
        yield f"node {_LETTERS[sub.node]} takes {verb}", _nodes.serve_subscription(world)
    for at, (kind, number) in enumerate(sub.inbox):
        if at and not (model.flaw is Flaw.NONCE_BESIDE_QUEUE and kind == "nonce"):
            continue
        after = world._replace(sub=sub._replace(inbox=sub.inbox[:at] + sub.inbox[at + 1 :]))
        yield f"the process hears {_heard(kind, number)}", _process.told(model, after, kind, number)
        if kind == "delta" and world.left.garbled and sub.wanted:
            after = _used(after, garbled=world.left.garbled - 1)
            yield "the process hears what it cannot read", _entry.doubt(model, after)
    entry = world.entry
    if entry is not None and world.left.evictions:
        after = _entry.dropped(_used(world, evictions=world.left.evictions - 1))
        yield "the near cache evicts the session", after
    if entry is None and sub.wanted:
        requests = (*sub.requests, "UNSUBSCRIBE")
        after = world._replace(sub=sub._replace(wanted=False, requests=requests))
        yield "the process sends UNSUBSCRIBE for what it evicted", after


def _connections(model: Model, world: World) -> Iterator[Move]:
    left = world.left
    nodes = (0, 1) if model.anywhere else (world.primary,)
    if world.sub.node == NONE:
        for node in nodes:
            words = f"the process subscribes at node {_LETTERS[node]}: a new generation"
            yield words, _process.connect(world, node)
    elif left.cuts:
        after = _process.cut_subscription(model, _used(world, cuts=left.cuts - 1))
        yield "the subscription's connection is lost", after
    if world.given_up:
        after = _process.lose_generation(model, world)
        yield "the subscription that was given up is closed", after
    if world.lane.node == NONE:
        for node in nodes:
            after = world._replace(lane=world.lane._replace(node=node))
            yield f"the command connection is made, to node {_LETTERS[node]}", after
    elif left.lane_cuts:
        after = _process.cut_lane(model, _used(world, lane_cuts=left.lane_cuts - 1))
        yield "the command connection is lost", after


def _faults(model: Model, world: World) -> Iterator[Move]:
    del model
    left, primary = world.left, world.primary
    if left.ticks:
        after = _used(world, ticks=left.ticks - 1)._replace(now=world.now + 1)
        yield f"time passes: tick {world.now + 1}", after
    if left.failovers and world.relay:
        for lose in range(min(left.lose, len(world.past)) + 1):
            lost = f", and never saw the last {lose} change(s)" if lose else ""
            words = f"failover: node {_LETTERS[1 - primary]} takes over{lost}"
            yield words, _nodes.fail_over(world, lose)
    if left.resyncs and world.relay:
        after = world._replace(relay=False)
        yield f"node {_LETTERS[1 - primary]} loses touch with the primary", after
    if left.resyncs and not world.relay:
        words = f"node {_LETTERS[1 - primary]} follows the primary again, from a full copy"
        yield words, _nodes.resync(world)
    if left.flushes:
        yield "the primary is flushed (FLUSHALL)", _nodes.flush(world)


def _done(world: World, write: Write, version: int) -> str:
    if version == NONE:
        return f"{write.kind} {write.operation} finds no session"
    return f"{write.kind} {write.operation} makes {name(version)}" + (
        " (the session is gone)" if world.data.version == NONE else ""
    )


def _executed(node: int, request: Request, reply: Reply) -> str:
    said = _said(reply)
    match request:
        case Fetch():
            return f"node {_LETTERS[node]} reads: {said}"
        case FenceSent():
            return f"node {_LETTERS[node]} takes fence {request.nonce}: {said}"
        case Write():
            return f"node {_LETTERS[node]} takes the {request.kind} {request.operation}: {said}"


def _said(reply: Reply) -> str:
    match reply:
        case Span():
            rest = f", messages from {reply.start} on" if reply.start else ""
            return f"{name(reply.version)}{rest}"
        case Fenced():
            return f"fence {reply.fence.nonce} is done, {reply.receivers} receiver(s)"
        case Refused():
            return "no such script" if reply.again else "refused, this node takes no writes"
        case _:
            return f"{reply.write.operation} is {name(reply.version)}"


def _heard(kind: str, number: int) -> str:
    if kind in {"open", "closed"}:
        return f"that its {'UN' * (kind == 'closed')}SUBSCRIBE was taken"
    return f"the nonce of fence {number}" if kind == "nonce" else f"the delta of {name(number)}"
