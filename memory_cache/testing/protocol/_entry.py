"""
What ``_near`` does with its one entry, step by step by the model's table.

Kept as close to that file as values allow; what differs: an entry is told at once that its
generation ended, which there it learns when next touched.
"""

from typing import Final

from memory_cache._coherence import Effect, Event, State, replay
from memory_cache.testing.protocol._checks import newest_broken
from memory_cache.testing.protocol._flaws import Flaw
from memory_cache.testing.protocol._model import Model
from memory_cache.testing.protocol._shapes import NONE, Entry, Fetch, Own, Span, World

_AWAITED: Final = frozenset({State.LIVE, State.LOADING})


def stepped(model: Model, world: World, event: Event) -> tuple[World, Effect]:
    """Let something happen to the entry; who waits for it is woken when it becomes suspect."""
    entry = world.entry
    assert entry is not None, "something happens to an entry"
    state, effect = model.step(entry.state, event)
    woken = entry.state in _AWAITED and state not in _AWAITED
    world = world._replace(entry=entry._replace(state=state))
    return (wake(world) if woken else world), effect


def wake(world: World) -> World:
    """Acknowledge all own writes that wait for their deltas."""
    done = tuple(own for own in world.writes if own.phase == "answered")
    return acknowledged(world, done) if done else world


def _woken(model: Model, world: World, heard: int) -> World:
    """Acknowledge own writes that wait, if this delta or what is held now shows them."""
    if not world.writes:
        return world
    entry, header = world.entry, world.log[heard].header
    held = None
    if entry is not None and entry.state is State.LIVE:
        held = world.log[entry.held].header
    done = []
    for own in world.writes:
        wanted = world.log[own.version].header
        if model.flaw is Flaw.WOKEN_BY_NUMBER:
            shown = wanted.num <= header.num
        else:
            shown = own.version == heard or (held is not None and model.holds(held, wanted.version))
        if own.phase == "answered" and shown:
            done.append(own)
    return acknowledged(world, tuple(done))


def acknowledged(world: World, done: tuple[Own, ...]) -> World:
    """Tell the callers of own writes that these are made."""
    return world._replace(
        writes=tuple(own for own in world.writes if own not in done),
        acknowledged=(*world.acknowledged, *(own.version for own in done)),
    )


def begin(model: Model, world: World) -> World:
    """Begin a fetch, and open the channel if it is closed."""
    entry = world.entry or Entry()
    world = world._replace(entry=entry)
    if entry.state is State.COLD:
        world, _ = stepped(model, world, Event.ASKED)
        sub = world.sub
        sub = sub._replace(
            wanted=True, unconfirmed=sub.unconfirmed + 1, requests=(*sub.requests, "SUBSCRIBE")
        )
        world = world._replace(sub=sub)
    elif entry.state is State.SUSPECT:
        world, _ = stepped(model, world, Event.FETCHED)
        assert world.entry is not None
        world = world._replace(entry=world.entry._replace(serial=entry.serial + 1, kept=()))
    assert world.entry is not None
    have = NONE if world.entry.state is State.LIVE else entry.held
    fetch = Fetch(
        mine=True,
        current=True,
        serial=world.entry.serial,
        have=have,
        since=len(world.truth) - 1,
        began=world.now,
        joinable=True,
    )
    lane = world.lane
    return world._replace(lane=lane._replace(requests=(*lane.requests, fetch)))


def land(model: Model, world: World, span: Span) -> World:
    """Take a snapshot in, and check the page that its reader gets."""
    entry, fetch = world.entry, span.fetch
    mine = fetch.mine or model.flaw is Flaw.FILL_OF_ANOTHER_ENTRY
    if entry is None or not mine or entry.state is State.LIVE:
        return _read(model, world, span, span.version)
    loading = _is_current(model, fetch, entry) and entry.state is State.LOADING
    snapshot = world.log[span.version].header
    kept = [world.log[each] for each in entry.kept]
    fitting = replay(snapshot, kept) if loading else None
    world = _installed(model, world, span)
    if loading:
        world, effect = stepped(model, world, Event.MISSED if fitting is None else Event.LANDED)
        if effect is Effect.INSTALL:
            on_top = kept if fitting is None else fitting
            for each in entry.kept:
                if world.log[each] in on_top:
                    world = _applied(world, each)
    landed = world.entry
    assert landed is not None, "what landed is held"
    if landed.state is not State.LOADING:
        world = world._replace(entry=landed._replace(kept=()))
    return _read(model, world, span, landed.held)


def _read(model: Model, world: World, span: Span, version: int) -> World:
    if span.demoted and not model.demoted_reads:
        return world
    broken = newest_broken(world, version, span.fetch.since, "the store")
    return world._replace(broken=world.broken or broken)


def _is_current(model: Model, fetch: Fetch, entry: Entry) -> bool:
    if model.flaw is Flaw.FILL_OF_ANOTHER_GENERATION:
        return True
    if model.flaw is Flaw.FILL_OF_AN_OLDER_LOAD:
        return fetch.current
    return fetch.current and fetch.serial == entry.serial


def failed(model: Model, world: World, fetch: Fetch) -> World:
    """Note that a snapshot will not come."""
    entry = world.entry
    if entry is None or not fetch.mine or not _is_current(model, fetch, entry):
        return world
    return stepped(model, world, Event.FAILED)[0]


def gone(model: Model, world: World, span: Span) -> World:
    """Note that the store has no such session, and tell its reader."""
    world = _read(model, failed(model, world, span.fetch), span, NONE)
    if world.entry is not None and span.fetch.mine and world.entry.state is not State.LIVE:
        world = dropped(world)
    return world._replace(absent=True) if model.flaw is Flaw.ABSENCE_KEPT else world


def dropped(world: World) -> World:
    """Hold nothing of the session any more; its channel stays open for a while."""
    world = each_fetch(world, mine=False)
    return wake(world._replace(entry=None))


def each_fetch(world: World, **changed: bool) -> World:
    """Change something of all fetches on their way."""
    lane = world.lane
    return world._replace(
        lane=lane._replace(
            requests=tuple(
                each._replace(**changed) if isinstance(each, Fetch) else each
                for each in lane.requests
            ),
            replies=tuple(
                each._replace(fetch=each.fetch._replace(**changed))
                if isinstance(each, Span)
                else each
                for each in lane.replies
            ),
        )
    )


def hear(model: Model, world: World, version: int) -> World:
    """Take in a change that came over the bus."""
    world = world._replace(absent=False)
    entry, made = world.entry, world.log[version]
    if entry is not None:
        held = None if entry.held == NONE else world.log[entry.held].header
        world, effect = stepped(model, world, model.judge(held, made))
        stands = world.entry
        assert stands is not None, "a step leaves the entry where it is"
        if effect is Effect.APPLY:
            world = _applied(world, version)
        elif effect is Effect.KEEP:
            kept = (*stands.kept, version)
            world = world._replace(entry=stands._replace(kept=kept))
            if len(kept) > model.most_kept:
                world, _ = stepped(model, world, Event.DOUBT)
    return _woken(model, world, version)


def doubt(model: Model, world: World) -> World:
    """Note that what is held may be behind."""
    return world if world.entry is None else stepped(model, world, Event.DOUBT)[0]


def passed(model: Model, world: World, own: Own) -> World:
    """Acknowledge an own write if its delta has passed; else it waits for that."""
    entry, after = world.entry, world.log[own.version].header
    waits = False
    if model.flaw is Flaw.APPLIED_AT_REPLY and entry is not None and entry.state is State.LIVE:
        world = _applied(world, own.version)
    elif entry is not None and model.flaw is not Flaw.ACKNOWLEDGED_AT_REPLY:
        if entry.state is State.LIVE:
            held = world.log[entry.held].header if entry.held != NONE else None
            waits = held is not None and not model.holds(held, after.version)
        elif entry.state is State.LOADING:
            waits = own.version not in entry.kept
    world = world._replace(writes=(*world.writes, own))
    return world if waits else acknowledged(world, (own,))


def _installed(model: Model, world: World, span: Span) -> World:
    entry = world.entry
    assert entry is not None
    snapshot = world.log[span.version].header
    held = world.log[entry.held].header if entry.held != NONE else None
    extends = (
        held is not None
        and snapshot.edits == held.edits
        and model.holds(snapshot, held.version)
        and span.start <= entry.start + len(entry.messages)
    )
    start, messages = span.start, span.messages
    if extends:
        end = entry.start + len(entry.messages)
        start, messages = entry.start, entry.messages + span.messages[end - span.start :]
    entry = entry._replace(held=span.version, start=start, messages=messages)
    return world._replace(entry=entry, absent=False)


def _applied(world: World, version: int) -> World:
    entry = world.entry
    assert entry is not None
    messages = entry.messages + world.log[version].added
    return world._replace(entry=entry._replace(held=version, messages=messages))
