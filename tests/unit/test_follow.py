"""Where a follower goes on: judged by place and page alone, and over stores that lose changes."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache import (
    NEWEST,
    CacheConfig,
    InvalidInputError,
    Page,
    Session,
    SessionEvent,
    SessionEventKind,
    SessionKey,
    Tier,
    Version,
    VersionLostError,
    cache_over,
)
from memory_cache._clock import SystemClock
from memory_cache._events import MOST_BYTES, MOST_EVENTS, Place, happened
from memory_cache._follow import Follower, _Shared
from memory_cache._near import NearCache
from memory_cache._reads import Reader
from memory_cache._types import Header
from memory_cache._waiters import Waiters
from memory_cache.testing import InMemoryServer, InMemoryWorker
from unit.strategies import header

KEY = SessionKey("", "", "s")
WAIT_SECONDS = 10.0


def page_of(head: Header | None, start: int = 0, end: int | None = None) -> Page:
    """A page of messages that are their seqs."""
    if head is None:
        return Page.missing(KEY)
    end = head.next if end is None else end
    bodies = tuple(b"%d" % seq for seq in range(start, end))
    return Page(KEY, start, end, bodies, bodies, None, head, b"{}", Tier.STORE)


# Places


@pytest.mark.parametrize(
    "place",
    [
        Place(None),
        Place(Version("i", "e", 3, "t")),
        Place(Version("i", "e", 3, "t"), 0, 0),
        Place(Version("i", "e", 3, "t"), 7, 2**60),
    ],
)
def test_text_of_a_place(place: Place) -> None:
    """The text of a place reads back as the place."""
    assert Place.parse(str(place)) == place


@given(st.text())
def test_any_text(text: str) -> None:
    """Any text is a place or is refused; nothing else is raised."""
    try:
        place = Place.parse(text)
    except InvalidInputError:
        return
    assert Place.parse(str(place)) == place


@given(st.lists(st.integers(0, 80), min_size=1, max_size=6), st.data())
def test_every_message_once(appends: list[int], data: st.DataObject) -> None:
    """Wherever a follower stops, and at whatever state it looks, it sees each message once."""
    heads = []
    next_ = 0
    for num, added in enumerate(appends, 1):
        next_ += added
        heads.append(header(num, next_=next_))
    place, seen, at = Place.after(None), list[int](), 0
    while place.next < next_ or at < len(heads) - 1:
        at = data.draw(st.integers(at, len(heads) - 1))
        start = data.draw(st.integers(0, place.next))
        found = happened(place, page_of(heads[at], start))
        assert len(found) <= MOST_EVENTS
        for event in found[: data.draw(st.integers(1, MOST_EVENTS))]:
            # It was cut off after this event, and comes back with the text of its place.
            place = Place.parse(event.id)
            seen.append(event.seq)
            assert event.json == b"%d" % event.seq
        if not found:
            at = min(at + 1, len(heads) - 1)
    assert seen == list(range(next_))


@given(st.lists(st.integers(1, MOST_BYTES * 2), min_size=1, max_size=40))
def test_so_many_bytes_at_a_time(sizes: list[int]) -> None:
    """What is told at a time has bounded bytes, or is one message; all but the last say so."""
    head, place, seen = header(1, next_=len(sizes)), Place(None), list[int]()
    bodies = tuple(b"x" * size for size in sizes)
    page = Page(KEY, 0, len(sizes), bodies, bodies, None, head, b"{}", Tier.STORE)
    while found := happened(place, page):
        told = [len(event.json) for event in found]
        assert sum(told) <= MOST_BYTES or len(told) == 1
        assert [event.more for event in found] == [True] * (len(found) - 1) + [False]
        place = found[-1].place
        seen += told
    assert seen == sizes


@given(st.data())
def test_shared_by_those_at_one_place(data: st.DataObject) -> None:
    """Whoever asks after whom, each is told what there is after its own place in its own page."""
    nobody: Any = None  # it neither waits nor reads
    shared = Follower(nobody, nobody, SystemClock(), CacheConfig())._shared
    pages = [page_of(header(num, next_=2 * num)) for num in (2, 3, 3)]
    places = [Place(None), *(Place(header(1).version, 0, seq) for seq in (0, 1, 1, 4))]
    for _ in range(20):
        place, page = data.draw(st.sampled_from(places)), data.draw(st.sampled_from(pages))
        assert shared.happened(place, page) == happened(place, page)


def kinds(place: Place, page: Page) -> list[str]:
    """The kinds of what happened."""
    return [event.kind.value for event in happened(place, page)]


def test_what_is_no_append() -> None:
    """An edit, a delete, another incarnation and a lost version are each told as what they are."""
    held = header(5, next_=5)
    place = Place.after(held)
    assert kinds(place, page_of(held)) == []
    assert kinds(place, page_of(held._replace(num=6, tag="x", edits=1, next=4))) == ["edited"]
    assert kinds(place, page_of(None)) == ["deleted"]
    assert kinds(place, page_of(held._replace(inc="other"))) == ["deleted"]
    assert kinds(place, page_of(held._replace(tag="fork"))) == ["lost"]
    assert kinds(place, page_of(header(4, next_=4))) == ["lost"]
    # Nobody told of these, so there is no other edit; and no place is outside of what is held.
    assert kinds(place, page_of(held._replace(next=4))) == ["edited"]
    assert kinds(Place(held.version, 0, 2), page_of(held._replace(first=3), start=3)) == ["edited"]
    assert kinds(Place(held.version, 0, 7), page_of(held)) == ["edited"]
    assert kinds(Place(None), page_of(None)) == []
    assert kinds(Place(None), page_of(held)) == ["message"] * 5


def test_version_alone() -> None:
    """A version alone is a place while it is the newest; after that only a read helps."""
    held = header(5, next_=5)
    assert kinds(Place(held.version), page_of(held)) == ["following"]
    assert kinds(Place(held.version), page_of(header(6, next_=6))) == ["edited"]


# Watches


async def test_told_before_one_waits() -> None:
    """What was told since one looked ends the wait at once; what was told before does not."""
    waiters = Waiters()
    with waiters.watch(KEY) as watch:
        waiters.wake(KEY, header(1))
        assert await watch.told(WAIT_SECONDS)
        watch.look()
        assert not await watch.told(0.001)
        waiting = asyncio.create_task(watch.told(WAIT_SECONDS))
        await asyncio.sleep(0)
        waiters.wake(KEY, header(2))
        assert await waiting
    assert not waiters.watched(KEY)


async def test_a_doubt_is_not_a_change() -> None:
    """A follower can tell that what is held was let go from that there is more."""
    waiters = Waiters()
    with waiters.watch(KEY) as watch:
        waiters.wake(KEY)
        assert (watch.doubted, watch.heard) == (True, False)
        waiters.wake(SessionKey("", "", "other"), header(1))
        assert not watch.heard


async def test_channels_end_with_the_generation() -> None:
    """A channel counts as open from its confirmation to the end of the generation, for all."""
    waiters = Waiters()
    with waiters.watch(KEY) as watch:
        waiters.opened(KEY)
        assert watch.opened
        watch.look()
        waiters.opened(KEY)
        assert not watch.heard, "it was open already"
        with waiters.watch(KEY) as second:
            assert second.opened
            waiters.wake_all()
            assert not watch.opened
            assert not second.opened
            assert watch.heard


# Over a store that loses changes


@asynccontextmanager
async def workers(count: int) -> AsyncIterator[tuple[InMemoryServer, list[Session]]]:
    """A server in this process, and the same session in some workers of it."""
    clock, config = SystemClock(), CacheConfig()
    server = InMemoryServer(clock)
    opened = [InMemoryWorker(server) for _ in range(count)]
    caches = [cache_over(worker.store, worker.bus, clock, config) for worker in opened]
    sessions = [(await cache.__aenter__()).session("s") for cache in caches]
    try:
        yield server, sessions
    finally:
        for cache in caches:
            await cache.__aexit__(None, None, None)


async def told(session: Session, after: str | None, last: Callable[[SessionEvent], bool]) -> str:
    """Follow until an event; the kinds and seqs that were told."""
    found = []
    async with asyncio.timeout(WAIT_SECONDS):
        async for event in session.events(after=after):
            found.append(str(event.seq) if event.seq >= 0 else event.kind.value)
            if last(event):
                break
    return " ".join(found)


def lost(event: SessionEvent) -> bool:
    """Whether it tells of a loss."""
    return event.kind is SessionEventKind.LOST


async def test_failover_that_loses() -> None:
    """Changes that were told and then lost by a failover are told as lost, and `follow` raises."""
    async with workers(2) as (server, (chat, elsewhere)):
        await chat.append([{"n": 0}, {"n": 1}])
        following = asyncio.create_task(told(elsewhere, None, lost))
        strict = asyncio.create_task(anext(elsewhere.follow(after=await elsewhere.recent(1))))
        events = chat.events()
        await anext(events)
        await chat.append({"n": 2})
        assert (await anext(events)).seq == 2
        assert await strict == {"n": 2}
        after = await chat.recent(1)
        server.failover(lose=1)
        with pytest.raises(VersionLostError):
            await asyncio.wait_for(anext(elsewhere.follow(after=after)), WAIT_SECONDS)
        assert (await following) == "following 2 lost"
        assert (await anext(events)).kind is SessionEventKind.LOST
        await chat.append({"n": 3})
        assert (await anext(events)).message == {"n": 3}
        await events.aclose()


async def test_failover_that_loses_nothing() -> None:
    """A failover that had every change is not noticed."""
    async with workers(2) as (server, (chat, elsewhere)):
        await chat.append({"n": 0})
        events = elsewhere.events()
        await anext(events)
        for seq in range(1, 20):
            if seq % 5 == 0:
                server.failover()
            await chat.append({"n": seq})
            assert (await asyncio.wait_for(anext(events), WAIT_SECONDS)).seq == seq
        await events.aclose()


async def test_a_place_ahead_of_what_is_held() -> None:
    """One who comes from a worker that has heard more is not told that anything was lost."""
    clock, config = SystemClock(), CacheConfig()
    server = InMemoryServer(clock)
    ahead, behind = InMemoryWorker(server), InMemoryWorker(server)
    async with (
        cache_over(ahead.store, ahead.bus, clock, config) as one,
        cache_over(behind.store, behind.bus, clock, config) as other,
    ):
        await one.session("s").append({"n": 0})
        for _ in range(4):
            await other.session("s").recent(1)
        behind.bus.hold()
        await one.session("s").append({"n": 1})
        page = await one.session("s").recent(1)
        events = other.session("s").events(after=page)
        waiting = asyncio.create_task(anext(events))
        for _ in range(20):
            await asyncio.sleep(0)
        behind.bus.release()
        await one.session("s").append({"n": 2})
        event = await asyncio.wait_for(waiting, WAIT_SECONDS)
        assert (event.kind, event.seq) == (SessionEventKind.MESSAGE, 2)
        await events.aclose()


async def test_a_read_older_than_the_ring() -> None:
    """A change heard before one looked, and not in what one was handed, is told all the same."""
    clock, config = SystemClock(), CacheConfig(staleness_seconds=60, sweep_seconds=600)
    server = InMemoryServer(clock)
    worker, other = InMemoryWorker(server), InMemoryWorker(server)
    async with (
        cache_over(worker.store, worker.bus, clock, config) as cache,
        cache_over(other.store, other.bus, clock, config) as elsewhere,
    ):
        chat = cache.session("s")
        await elsewhere.session("s").append({"n": 0})
        page = await elsewhere.session("s").recent(1)
        gate = worker.gates.close("tail.done")
        first = asyncio.create_task(chat.recent(64))
        await gate.arrived
        await elsewhere.session("s").append({"n": 1})
        for _ in range(20):
            await asyncio.sleep(0)
        assert worker.bus.caught_up, "the change was heard"
        # It joins the first read, which was answered before the change; the bus has told of that.
        events = chat.events(after=page)
        waiting = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
        # Another read of the newest makes the ring live before the first one lands.
        assert (await chat.recent(1, consistency=NEWEST)).messages == [{"n": 1}]
        assert chat.peek(1) is not None
        assert not waiting.done()
        gate.open()
        assert (await first).next == 1, "the first read is older than the ring"
        event = await asyncio.wait_for(waiting, WAIT_SECONDS)
        assert event.message == {"n": 1}
        await events.aclose()


async def test_a_shared_read_older_than_the_place() -> None:
    """One who joins another's read of the store, begun before what it was told, loses nothing."""
    clock, config = SystemClock(), CacheConfig(staleness_seconds=60, ring_messages=64)
    server = InMemoryServer(clock)
    worker, other = InMemoryWorker(server), InMemoryWorker(server)
    async with (
        cache_over(worker.store, worker.bus, clock, config) as cache,
        cache_over(other.store, other.bus, clock, config) as elsewhere,
    ):
        chat, theirs = cache.session("s"), elsewhere.session("s")
        await theirs.append([{"n": n} for n in range(10)])
        early = await theirs.page(after=-1, limit=1)
        await theirs.append([{"n": n} for n in range(10, 200)])
        gate = worker.gates.close("range.done")
        first = chat.events(after=early)
        waiting = asyncio.create_task(anext(first))
        await gate.arrived
        await theirs.append({"n": 200})
        late = await theirs.page(after=-1, limit=2)
        second = chat.events(after=late)
        joining = asyncio.create_task(anext(second))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not joining.done(), "it waits for the read of the first"
        gate.open()
        assert (await asyncio.wait_for(waiting, WAIT_SECONDS)).message == {"n": 1}
        event = await asyncio.wait_for(joining, WAIT_SECONDS)
        assert (event.kind, event.json) == (SessionEventKind.MESSAGE, b'{"n":2}')
        await first.aclose()
        await second.aclose()


def test_the_last_page_is_not_kept() -> None:
    """What followers share of the last page they judged is small: not the page itself."""
    shared = _Shared(cast("NearCache", None), cast("Reader", None), SystemClock(), CacheConfig())
    page, place = page_of(header(3, next_=3)), Place(Version("i", "e", 1, "t1"), 0, 1)
    found = shared.happened(place, page)
    assert shared.happened(place, page) is found
    kept = weakref.ref(page)
    del page
    assert kept() is None
