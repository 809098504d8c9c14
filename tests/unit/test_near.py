import asyncio
import dataclasses
from collections.abc import Sequence

import pytest

from memory_cache import CacheConfig, SessionKey, Tier
from memory_cache._blocks import Block
from memory_cache._delta import Delta
from memory_cache._entries import ENTRY_COST, Ask, Load
from memory_cache._near import NearCache
from memory_cache._ports import FOREVER, Span
from memory_cache._stats import Counters
from memory_cache._types import Header, StoredMessage
from unit.strategies import append, header, message

KEY = SessionKey("", "", "s")
ONE = Ask(1)
NOW = 100.0


class Near:
    """A near cache with a lease, whose loads and deltas come when the test says."""

    def __init__(self, *, budget: int = 10**6, ring_messages: int = 8) -> None:
        self.counters = Counters()
        self.subscribed: list[SessionKey] = []
        self.unsubscribed: list[SessionKey] = []
        config = CacheConfig(near_cache_bytes=budget, ring_messages=ring_messages)
        self.cache = NearCache(
            config, self.counters, self.subscribed.append, self.unsubscribed.append
        )
        self.connect()

    def connect(self) -> None:
        """Begin a generation, and have a fence come back at once."""
        self.cache.began()
        self.cache.lease.sent("n", NOW)
        self.cache.lease.heard("n")
        self.cache.lease.answered("n")

    def begin(self, key: SessionKey = KEY) -> Load:
        """Begin a load."""
        load = self.cache.begin(key)
        assert load is not None
        return load

    def land(self, load: Load, num: int, *, ask: Ask = ONE, span: Span | None = None) -> None:
        """Land a snapshot of the session after ``num`` appends of one message."""
        self.cache.land(load, span or snapshot(num), NOW, ask)
        self.cache.check()

    def load(self, num: int, key: SessionKey = KEY) -> None:
        """Make a session answer, after ``num`` appends of one message."""
        self.begin(key)
        self.cache.opened(key)
        self.land(self.begin(key), num)
        assert self.cache.live(key)

    def hear(self, delta: Delta, key: SessionKey = KEY) -> None:
        """Hear a change."""
        self.cache.heard(key, delta)
        self.cache.check()

    def seen(self, count: int = 100, key: SessionKey = KEY, now: float = NOW) -> list[int] | None:
        """What the near cache answers: the positions of the messages; None: it may not."""
        page = self.cache.answer(key, Ask(count), now)
        if page is None:
            return None
        assert page.tier is Tier.NEAR
        assert page.end == page.next == page.start + len(page.messages)
        return [one["n"] for one in page.messages]


def snapshot(
    num: int, *, start: int = 0, fields: bytes | None = b"{}", left_ms: int = FOREVER
) -> Span:
    """What the store returns of a session after ``num`` appends of one message."""
    return Span(header(num, next_=num), left_ms, fields, start, _messages(start, num), 0)


def _messages(start: int, end: int) -> list[StoredMessage]:
    return [message(at) for at in range(start, end)]


def test_answers_after_subscribe_and_snapshot() -> None:
    """A session answers once its channel is open and a snapshot asked for since is in."""
    near = Near()
    first = near.begin()
    assert near.subscribed == [KEY]
    assert near.seen() is None
    near.land(first, 3)
    assert near.seen() is None
    near.cache.opened(KEY)
    near.land(near.begin(), 3)
    assert near.seen() == [0, 1, 2]
    assert near.seen(2) == [1, 2]
    assert near.seen(0) == []


def test_answers_only_under_lease() -> None:
    """The near cache answers up to the end of its lease, and not at it."""
    near = Near()
    near.load(3)
    assert near.seen(now=NOW + 0.999) == [0, 1, 2]
    assert near.seen(now=NOW + 1) is None
    assert near.cache.live(KEY)


def test_applies_what_continues() -> None:
    """Deltas in order are applied; one that was missed makes suspect, and is never skipped."""
    near = Near()
    near.load(3)
    near.hear(append(4))
    assert near.seen() == [0, 1, 2, 3]
    near.hear(append(4))
    assert near.seen() == [0, 1, 2, 3]
    near.hear(append(6))
    assert near.seen() is None
    assert near.counters.suspects == {"gap": 1}


def test_snapshot_and_what_was_heard_meanwhile() -> None:
    """What is heard while a snapshot is under way is put on top of it, once."""
    near = Near()
    near.begin()
    near.cache.opened(KEY)
    load = near.begin()
    for num in (3, 4, 5):
        near.hear(append(num))
    near.land(load, 4)
    assert near.seen() == [0, 1, 2, 3, 4]


def test_snapshot_that_misses_what_was_heard() -> None:
    """A snapshot that what was heard does not continue is held, and does not answer."""
    near = Near()
    near.begin()
    near.cache.opened(KEY)
    load = near.begin()
    near.hear(append(6))
    near.land(load, 4)
    assert near.seen() is None
    assert near.cache.holds(KEY)


def test_older_load_takes_nothing_from_a_newer_one() -> None:
    """A load that began before the channel was open does not drop what a newer load has heard."""
    near = Near()
    old = near.begin()
    near.cache.opened(KEY)
    new = near.begin()
    near.hear(append(6))
    near.land(old, 5)
    near.land(new, 5)
    assert near.seen() in ([0, 1, 2, 3, 4, 5], None)


def test_suspect_is_revalidated() -> None:
    """A suspect keeps its data: a load asks for the rest only, which is put on top."""
    near = Near()
    near.load(3)
    near.cache.doubt(KEY, "late")
    load = near.begin()
    assert load.have is not None
    assert (load.have.header.num, load.have.next) == (3, 3)
    near.land(load, 5, span=snapshot(5, start=3, fields=None))
    assert near.seen() == [0, 1, 2, 3, 4]
    assert near.counters.revalidated == 1
    assert near.counters.reloaded == 0


@pytest.mark.parametrize(
    "other",
    [
        header(3, inc="other", next_=5),
        header(3, edits=7, next_=5),
        header(3, next_=5)._replace(tag="other"),
        header(2, next_=5),
    ],
)
def test_other_history_is_never_mixed(other: Header) -> None:
    """What does not descend from what is held takes its place as a whole."""
    near = Near()
    near.load(3)
    near.cache.doubt(KEY, "late")
    load = near.begin()
    near.land(load, 0, span=Span(other, FOREVER, b"{}", 4, _messages(4, 5), 9))
    assert near.seen(1) == [4]
    assert near.seen(2) is None
    assert near.counters.reloaded == 1


def test_lost_generation_makes_all_suspect() -> None:
    """With its generation every session stops answering; loads of before make none answer."""
    near = Near()
    near.load(3)
    stale = near.begin(SessionKey("", "", "other"))
    near.cache.lost()
    near.connect()
    assert near.seen() is None
    near.cache.opened(stale.entry.key)
    near.land(stale, 2)
    assert near.seen(key=stale.entry.key) is None
    assert near.cache.begin(KEY) is not None
    assert near.subscribed.count(KEY) == 2


def test_nothing_is_loaded_without_a_bus() -> None:
    """While there is no subscription nothing is put into the near cache."""
    near = Near()
    near.cache.lost()
    assert near.cache.begin(KEY) is None


def test_edits_and_deletes_make_suspect() -> None:
    """A change that does not carry itself makes suspect, and says why."""
    near = Near()
    for kind in "CD":
        near.load(3)
        near.hear(Delta(kind, "t3", header(4), -1, None, None))
        assert near.seen() is None
    assert near.counters.suspects == {"edited": 2}


def test_gone_session_is_not_held() -> None:
    """That there is no session is never remembered: nothing is held of it."""
    near = Near()
    near.load(3)
    near.cache.doubt(KEY, "edited")
    near.cache.gone(near.begin())
    assert not near.cache.holds(KEY)
    assert near.cache.sessions_held == 0
    assert near.cache.bytes_held == 0


def test_deadline_ends_answering() -> None:
    """A session does not answer beyond its time to live, counted from when it was asked for."""
    near = Near()
    near.begin()
    near.cache.opened(KEY)
    near.land(near.begin(), 0, span=snapshot(3, left_ms=500))
    assert near.seen(now=NOW + 0.499) == [0, 1, 2]
    assert near.seen(now=NOW + 0.5) is None
    assert near.seen(now=NOW) is None


def test_delta_moves_the_deadline() -> None:
    """A change that restarts or ends the time to live does so in the near cache, too."""
    near = Near()
    near.load(3)
    near.hear(_left(4, 200))
    assert near.seen(now=NOW + 0.199) is not None
    near.hear(_left(5, 700))
    assert near.seen(now=NOW + 0.699) is not None
    near.hear(_left(6, -1))
    assert near.seen(now=NOW + 0.999) is not None


def test_fields_follow_their_changes() -> None:
    """Fields come with the snapshot or a delta, and stay when neither brings any."""
    near = Near()
    near.begin()
    near.cache.opened(KEY)
    near.land(near.begin(), 0, span=snapshot(1, fields=b'{"a":1}'))
    near.hear(append(2))
    page = near.cache.answer(KEY, ONE, NOW)
    assert page is not None
    assert page.fields == {"a": 1}
    near.hear(Delta("A", "t2", header(3, next_=2), -1, b'{"a":2}', ()))
    page = near.cache.answer(KEY, ONE, NOW)
    assert page is not None
    assert page.fields == {"a": 2}
    assert page.end == 2


def test_ring_that_does_not_reach_back() -> None:
    """What the ring does not hold is not answered, and what it holds is."""
    near = Near(ring_messages=4)
    near.load(9)
    assert near.seen(4) == [5, 6, 7, 8]
    assert near.seen(5) is None


async def test_own_write_waits_for_its_delta() -> None:
    """A change to a session that answers has passed when its delta, or a doubt, has."""
    near = Near()
    near.load(3)
    future = near.cache.passed(KEY, header(4))
    assert future is not None
    near.hear(append(4))
    assert future.done()
    assert near.cache.passed(KEY, header(4)) is None
    other = near.cache.passed(KEY, header(6))
    assert other is not None
    near.hear(append(5))
    assert not other.done()
    near.cache.doubt(KEY, "late")
    assert other.done()
    assert near.cache.passed(KEY, header(9)) is None


async def test_abandoned_waits_are_not_kept() -> None:
    """Who stops waiting for a version leaves nothing behind once anything is heard."""
    near = Near()
    near.load(3)
    future = near.cache.passed(KEY, header(10**6))
    assert future is not None
    future.cancel()
    near.hear(append(4))
    assert near.cache._waiting == {}


class TestBudget:
    """What has to make room, and for whom."""

    def test_least_recently_used_goes_first(self) -> None:
        """Over budget, the session that was not asked for the longest is let go."""
        near = Near(budget=4 * ENTRY_COST)
        keys = _keys(4)
        for key in keys[:3]:
            near.load(3, key)
        near.seen(key=keys[0])
        near.load(3, keys[3])
        assert near.seen(key=keys[1]) is None
        assert near.seen(key=keys[0]) == [0, 1, 2]
        assert near.counters.evicted == 1

    def test_suspects_go_before_anybody(self) -> None:
        """What could not answer anyway makes room first."""
        near = Near(budget=4 * ENTRY_COST)
        keys = _keys(4)
        for key in keys[:3]:
            near.load(3, key)
        near.cache.doubt(keys[2], "late")
        near.load(3, keys[3])
        assert not near.cache.holds(keys[2])
        assert near.cache.live(keys[0])

    def test_growing_entries_are_charged(self) -> None:
        """Deltas are charged as they come, so the budget holds without a new load."""
        near = Near(budget=40 * ENTRY_COST, ring_messages=64)
        keys = _keys(20)
        for key in keys:
            near.load(1, key)
        for num in range(2, 40):
            for key in keys:
                if near.cache.live(key):
                    near.hear(append(num, _large(num)), key)
        assert near.counters.evicted > 0
        assert near.cache.bytes_held <= 40 * ENTRY_COST

    def test_suspect_that_makes_room_for_itself(self) -> None:
        """A load that missed, into a full cache, is no accident."""
        near = Near(budget=3 * ENTRY_COST)
        first, second = _keys(2)
        near.begin(second)
        near.cache.opened(second)
        near.load(3, first)
        load = near.begin(second)
        near.hear(append(9), second)
        big = Span(header(1, next_=1), FOREVER, b'"' + b"x" * 2500 + b'"', 0, [message(0)], 0)
        near.land(load, 0, span=big)
        assert near.seen(key=second) is None
        assert near.cache.bytes_held <= 3 * ENTRY_COST

    def test_entry_over_the_whole_budget_is_not_held(self) -> None:
        """A session whose fields alone are over the budget is not held, nor do others go."""
        near = Near(budget=3 * ENTRY_COST)
        near.begin()
        near.cache.opened(KEY)
        load = near.begin()
        near.cache.land(load, snapshot(1, fields=b"x" * 4 * ENTRY_COST), NOW, ONE)
        assert near.cache.bytes_held == 0

    def test_sealed_blocks_share_the_budget(self) -> None:
        """Blocks are kept under their incarnation and edits, and make room like sessions."""
        near = Near(budget=20 * ENTRY_COST)
        block = Block(0, b"x" * 100, b"0")
        near.cache.keep_block(KEY, header(), 0, block)
        assert near.cache.block(KEY, header(9), 0) == block
        assert near.cache.block(KEY, header(edits=1), 0) is None
        assert near.cache.block(KEY, header(inc="other"), 0) is None
        near.cache.keep_block(KEY, header(), 1, Block(0, b"x" * 3 * ENTRY_COST, b"0"))
        assert near.cache.block(KEY, header(), 1) is None
        for number in range(2, 40):
            near.cache.keep_block(KEY, header(), number, block)
        near.cache.check()
        assert near.cache.block(KEY, header(), 0) is None
        assert near.cache.block(KEY, header(), 39) == block

    def test_evicted_channel_closes_later(self) -> None:
        """The channel of a session that was let go stays open a while, and then is closed."""
        near = Near(budget=2 * ENTRY_COST)
        one, other = _keys(2)
        near.load(1, one)
        near.seen(key=one)
        near.load(1, other)
        near.cache.unsubscribe_retired(NOW + 9)
        assert near.unsubscribed == []
        near.cache.unsubscribe_retired(NOW + 10)
        assert near.unsubscribed == [one]

    def test_session_that_returns_keeps_its_channel(self) -> None:
        """A session that is loaded again before its channel was closed keeps it."""
        near = Near(budget=2 * ENTRY_COST)
        one, other = _keys(2)
        near.load(1, one)
        near.load(1, other)
        near.load(1, one)
        near.cache.unsubscribe_retired(NOW + 1000)
        assert near.unsubscribed == [other]

    def test_turned_off(self) -> None:
        """Without a budget nothing is loaded."""
        assert Near(budget=0).cache.begin(KEY) is None


async def test_eviction_wakes_who_waits() -> None:
    """A writer does not wait for the delta of a session that was let go."""
    near = Near(budget=2 * ENTRY_COST)
    one, other = _keys(2)
    near.load(3, one)
    future = near.cache.passed(one, header(4))
    near.load(3, other)
    assert future is not None
    await asyncio.wait_for(future, 1)


def _keys(count: int) -> Sequence[SessionKey]:
    return [SessionKey("", "", f"s{at}") for at in range(count)]


def _left(num: int, left_ms: int) -> Delta:
    return dataclasses.replace(append(num), left_ms=left_ms)


def _large(num: int) -> StoredMessage:
    body, meta = message(num - 1)
    return StoredMessage(body[:-1] + b',"x":"' + b"x" * 400 + b'"}', meta)
