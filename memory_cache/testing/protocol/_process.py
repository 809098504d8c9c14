"""What the process does with its connections: fences, answers, generations, own writes."""

from functools import cache

from memory_cache._coherence import Event, Lease, State
from memory_cache.testing.protocol import _entry
from memory_cache.testing.protocol._checks import flight_broken, newest_broken
from memory_cache.testing.protocol._flaws import Flaw
from memory_cache.testing.protocol._model import Model
from memory_cache.testing.protocol._shapes import (
    NONE,
    Fence,
    Fenced,
    FenceSent,
    Fetch,
    Lane,
    Own,
    Refused,
    Reply,
    Request,
    Span,
    Sub,
    T,
    World,
    Write,
    Written,
)


def answer(model: Model, world: World) -> tuple[int, int, tuple[str, ...]] | None:
    """Return what the near cache answers now: version, start, messages; None: it may not."""
    if world.sub.node == NONE and world.until == NONE:
        return None
    if model.flaw is not Flaw.NO_LEASE and not holds(world.until, world.now):
        return None
    if world.absent:
        return NONE, 0, ()
    entry = world.entry
    if entry is None or entry.state is not State.LIVE:
        return None
    return entry.held, entry.start, entry.messages


@cache
def holds(until: int, now: int) -> bool:
    """Ask the real lease."""
    return _lease(until, ()).holds(now)


def _lease(until: int, fences: tuple[Fence, ...]) -> Lease:
    """Return a real lease of this state, made by what it is told only."""
    lease = Lease(T)
    if until != NONE:
        lease.sent("before", until - T)
        lease.heard("before")
        lease.answered("before")
    for fence in fences:
        lease.sent(str(fence.nonce), fence.at)
        if fence.heard:
            lease.heard(str(fence.nonce))
        if fence.answered:
            lease.answered(str(fence.nonce))
    return lease


def send_fence(world: World) -> World:
    """Send a fence on the command connection."""
    nonce, since = world.nonces, len(world.truth) - 1
    sent = FenceSent(nonce, current=True, node=world.sub.node, replid=world.sub.replid)
    fence = Fence(nonce, world.now, heard=False, answered=False, since=since)
    lane = world.lane._replace(requests=(*world.lane.requests, sent))
    return world._replace(lane=lane, fences=(*world.fences, fence), nonces=nonce + 1)


def told_nonce(model: Model, world: World, nonce: int) -> World:
    """Take in a nonce that came out of the subscription."""
    if model.flaw is Flaw.LEASE_FROM_RECEIPT:
        world = world._replace(
            fences=tuple(
                fence._replace(at=world.now) if fence.nonce == nonce else fence
                for fence in world.fences
            )
        )
    both = model.flaw is Flaw.RENEWED_WITHOUT_REPLY
    return _told_lease(model, world, nonce, heard=True, answered=both)


def _told_lease(
    model: Model, world: World, nonce: int, *, heard: bool = False, answered: bool = False
) -> World:
    fence = next((fence for fence in world.fences if fence.nonce == nonce), None)
    if fence is None:
        return world
    lease = _lease(world.until, world.fences)
    renewed = (heard and lease.heard(str(nonce))) or (answered and lease.answered(str(nonce)))
    others = tuple(each for each in world.fences if each.nonce != nonce)
    if not renewed:
        now = fence._replace(heard=fence.heard or heard, answered=fence.answered or answered)
        return world._replace(fences=tuple(sorted((*others, now))))
    world = world._replace(fences=others, until=int(lease.until))
    # A read for the newest that sent this fence peeks now.
    found = answer(model, world)
    if found is None:
        return world
    broken = newest_broken(world, found[0], fence.since, "the near cache")
    return world._replace(broken=world.broken or broken)


def told(model: Model, world: World, kind: str, number: int) -> World:
    """Handle what came out of the subscription."""
    if kind == "nonce":
        return told_nonce(model, world, number)
    sub = world.sub
    if kind == "delta":
        return _entry.hear(model, world, number) if sub.wanted else world
    if kind == "closed":
        # Of an UNSUBSCRIBE: a channel that was wanted again since is counted by its SUBSCRIBEs.
        return world
    sub = sub._replace(unconfirmed=sub.unconfirmed - 1)
    world = world._replace(sub=sub)
    last = sub.unconfirmed == 0 or model.flaw is Flaw.OLDER_CONFIRMATION
    if not (last and sub.wanted) or world.entry is None or world.entry.state is State.LIVE:
        return world
    return _entry.stepped(model, world, Event.OPENED)[0]


def told_reply(model: Model, world: World, reply: Reply) -> World:
    """Handle an answer that came in on the command connection."""
    if isinstance(reply, Span):
        return _spanned(model, world, reply)
    if isinstance(reply, Fenced):
        return _fenced(model, world, reply)
    if isinstance(reply, Written):
        return _written(model, world, reply)
    request = reply.request
    if reply.again:
        lane = world.lane
        return world._replace(lane=lane._replace(requests=(*lane.requests, request)))
    if isinstance(request, FenceSent):
        return world._replace(given_up=world.given_up or request.current)
    assert isinstance(request, Write)
    # An attempt before this one may have been carried out: nobody knows.
    world = world._replace(
        writes=tuple(own for own in world.writes if own.operation != request.operation)
    )
    return _entry.doubt(model, world)


def _spanned(model: Model, world: World, span: Span) -> World:
    fetch = span.fetch
    if span.version == NONE:
        return _entry.gone(model, world, span)
    if fetch.have != NONE:
        now, had = world.log[span.version].header, world.log[fetch.have].header
        if not model.holds(now, had.version):
            again = fetch._replace(have=NONE)
            lane = world.lane
            return world._replace(lane=lane._replace(requests=(*lane.requests, again)))
    if fetch.joinable and world.now - fetch.began <= T and not span.demoted:
        world = world._replace(broken=world.broken or flight_broken(world, span.version))
    return _entry.land(model, world, span)


def _fenced(model: Model, world: World, reply: Fenced) -> World:
    fence, lane = reply.fence, world.lane
    if not fence.current and model.flaw is not Flaw.ENDED_FENCE_TAKES_EPOCH:
        return world
    if fence.current and world.given_up and model.flaw is not Flaw.GIVEN_UP_FENCE_RENEWS:
        return world
    if model.flaw is Flaw.BARE_PUBLISH:
        same = True
    else:
        same = (model.flaw is Flaw.ANY_PROCESS or lane.node == fence.node) and (
            model.flaw is Flaw.ANY_REPLID or reply.replid == fence.replid
        )
    right = same and reply.receivers >= 1
    if right and model.flaw is not Flaw.ANY_EPOCH:
        right, world = reply.epoch == world.epoch, world._replace(epoch=reply.epoch)
    if not fence.current:
        return world
    if not right:
        return world._replace(given_up=True)
    both = model.flaw is Flaw.RENEWED_WITHOUT_NONCE
    return _told_lease(model, world, fence.nonce, heard=both, answered=True)


def _written(model: Model, world: World, reply: Written) -> World:
    write = reply.write
    if model.flaw is not Flaw.OLD_FLIGHT_JOINED:
        world = _entry.each_fetch(world, joinable=False)
    world = world._replace(
        writes=tuple(own for own in world.writes if own.operation != write.operation)
    )
    if reply.version == NONE:
        return world
    own = Own(write.operation, write.kind, "answered", reply.version)
    return _entry.passed(model, world, own)


def connect(world: World, node: int) -> World:
    """Begin a generation: a subscription, and what its node says of itself."""
    return world._replace(sub=Sub(node, world.replids[node]))


def lose_generation(model: Model, world: World) -> World:
    """End the generation: what is held is suspect, and nothing of before counts any more."""
    ghosts = list(world.ghosts)
    if model.anywhere:
        # Its node may not have noticed, and goes on counting it.
        ghosts[world.sub.node] = True
    lane = world.lane
    world = _entry.each_fetch(world, current=False)
    lane = world.lane
    lane = lane._replace(
        requests=tuple(_aged(each) for each in lane.requests),
        replies=tuple(
            each._replace(fence=each.fence._replace(current=False))
            if isinstance(each, Fenced)
            else each._replace(request=_aged(each.request))
            if isinstance(each, Refused)
            else each
            for each in lane.replies
        ),
    )
    world = world._replace(
        sub=Sub(),
        until=NONE,
        fences=(),
        given_up=False,
        lane=lane,
        ghosts=(ghosts[0], ghosts[1]),
    )
    if world.entry is not None:
        world, _ = _entry.stepped(model, world, Event.LOST)
    return _entry.wake(world)


def _aged(request: Request) -> Request:
    return request._replace(current=False) if isinstance(request, FenceSent) else request


def cut_subscription(model: Model, world: World) -> World:
    """Lose the subscription."""
    if model.flaw is not Flaw.SILENT_RESUBSCRIBE:
        return lose_generation(model, world)
    # As a client library does that promises to be resilient.
    sub, node = world.sub, world.primary
    requests = ("RESUBSCRIBE",) if sub.wanted else ()
    sub = sub._replace(node=node, replid=world.replids[node], open=False)
    return world._replace(sub=sub._replace(requests=requests, inbox=(), unconfirmed=0))


def cut_lane(model: Model, world: World) -> World:
    """Lose the command connection; changes that had left may be carried out all the same."""
    lane = world.lane
    unanswered: list[Request] = [_request(reply) for reply in lane.replies]
    strays = tuple((lane.node, each) for each in lane.requests if isinstance(each, Write))
    world = world._replace(lane=Lane(), stray=(*world.stray, *strays))
    for request in (*unanswered, *lane.requests):
        if isinstance(request, Fetch):
            world = _entry.failed(model, world, request)
        elif isinstance(request, FenceSent):
            world = world._replace(given_up=world.given_up or request.current)
        else:
            world = world._replace(
                writes=tuple(
                    own._replace(phase="lost") if own.operation == request.operation else own
                    for own in world.writes
                )
            )
    return world


def _request(reply: Reply) -> Request:
    match reply:
        case Span():
            return reply.fetch
        case Fenced():
            return reply.fence
        case Written():
            return reply.write
        case Refused():
            return reply.request


def send_write(world: World, own: Own) -> World:
    """Send a change of this process, for the first time or again."""
    # A rewrite takes the lane for bulk, whose answers may overtake.
    which = "bulk" if own.kind == "edit" else "lane"
    lane: Lane = getattr(world, which)
    lane = lane._replace(requests=(*lane.requests, Write(own.operation, own.kind)))
    others = tuple(each for each in world.writes if each.operation != own.operation)
    world = world._replace(writes=(*others, own._replace(phase="sent")))
    return world._replace(bulk=lane) if which == "bulk" else world._replace(lane=lane)


def give_up(model: Model, world: World, own: Own) -> World:
    """Send a change no more: whether it was made is unknown."""
    writes = tuple(each for each in world.writes if each is not own)
    return _entry.doubt(model, world._replace(writes=writes))


def stop_waiting(model: Model, world: World) -> World:
    """Wait no longer for the delta of an own write: what is held may be behind."""
    if model.flaw is Flaw.LATE_WITHOUT_DOUBT:
        return _entry.wake(world)
    return _entry.doubt(model, world)
