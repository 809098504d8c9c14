import asyncio
import gc
import tracemalloc
from collections.abc import Sequence

import pytest

from memory_cache import SessionKey
from memory_cache._blocks import Block
from memory_cache._entries import ENTRY_COST
from memory_cache._names import encode_key
from memory_cache._ports import FOREVER, Span
from memory_cache._sidecar import meta_of
from memory_cache._types import Header, StoredMessage
from unit.near import KEY, NOW, ONE, Near, cost, snapshot
from unit.strategies import append, header, message


def test_those_who_answered_get_a_second_chance() -> None:
    """Over budget, the oldest session that has not answered of late is let go."""
    near = Near(budget=3 * cost(3) + 100)
    keys = _keys(4)
    for key in keys[:3]:
        near.load(3, key)
    near.seen(key=keys[0])
    near.load(3, keys[3])
    assert near.seen(key=keys[1]) is None
    assert near.seen(key=keys[0]) == [0, 1, 2]
    assert near.counters.evicted == 1


def test_suspects_go_before_anybody() -> None:
    """What could not answer anyway makes room first."""
    near = Near(budget=3 * cost(3) + 100)
    keys = _keys(4)
    for key in keys[:3]:
        near.load(3, key)
    near.cache.doubt(keys[2], "late")
    near.load(3, keys[3])
    assert not near.cache.holds(keys[2])
    assert near.cache.live(keys[0])


def test_growing_entries_are_charged() -> None:
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


def test_suspect_that_makes_room_for_itself() -> None:
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


def test_entry_over_the_whole_budget_is_not_held() -> None:
    """A session whose fields alone are over the budget is not held, nor do others go."""
    near = Near(budget=3 * ENTRY_COST)
    near.begin()
    near.cache.opened(KEY)
    load = near.begin()
    near.cache.land(load, snapshot(1, fields=b"x" * 4 * ENTRY_COST), NOW, ONE)
    assert near.cache.bytes_held == 0


def test_sealed_blocks_share_the_budget() -> None:
    """Blocks are kept under their incarnation and edits, and make room like sessions."""
    near = Near(budget=20 * ENTRY_COST)
    block = Block(0, b"x" * 100, b"0")
    near.cache.blocks.keep(KEY, header(), {0: block})
    assert near.cache.blocks.get(KEY, header(9), 0) == block
    assert near.cache.blocks.get(KEY, header(edits=1), 0) is None
    assert near.cache.blocks.get(KEY, header(inc="other"), 0) is None
    near.cache.blocks.keep(KEY, header(), {1: Block(0, b"x" * 3 * ENTRY_COST, b"0")})
    assert near.cache.blocks.get(KEY, header(), 1) is None
    for number in range(2, 40):
        near.cache.blocks.keep(KEY, header(), {number: block})
    near.cache.check()
    assert near.cache.blocks.get(KEY, header(), 0) is None
    assert near.cache.blocks.get(KEY, header(), 39) == block


def test_channel_closes_with_its_entry() -> None:
    """The channel of a session that is let go is closed, and of one that does not exist, too."""
    near = Near(budget=2 * ENTRY_COST)
    one, other = _keys(2)
    near.load(1, one)
    near.load(1, other)
    assert near.unsubscribed == [one]
    load = near.begin(one)
    assert near.unsubscribed == [one, other]
    near.cache.gone(load)
    assert near.unsubscribed == [one, other, one]
    assert near.cache.bytes_held == 0


def test_channel_of_a_watched_session_stays() -> None:
    """While somebody watches, a channel stays open; then it is closed, if nothing is held."""
    near = Near()
    with near.cache.watch(KEY), near.cache.watch(KEY):
        near.cache.gone(near.begin())
        assert near.unsubscribed == []
    assert near.unsubscribed == [KEY]
    with near.cache.watch(KEY):
        near.load(1)
    assert near.unsubscribed == [KEY]


def test_evicted_entries_hold_nothing() -> None:
    """Whoever still has an entry that was let go, such as a ready answer, holds no data by it."""
    near = Near(budget=2 * ENTRY_COST)
    one, other = _keys(2)
    near.load(1, one)
    near.seen(key=one)
    entry = near.begin(one).entry
    near.load(1, other)
    assert (entry.ring, entry.header, entry.answered, entry.fields) == (None, None, None, b"{}")


def test_names_are_charged() -> None:
    """A session with long names takes more of the budget, and one that is too long is not held."""
    short, long = SessionKey("", "", "s"), SessionKey("n" * 500, "u" * 500, "é" * 250)
    near = Near(budget=2 * ENTRY_COST)
    assert near.cache.begin(long) is None
    assert near.subscribed == []
    near = Near()
    near.load(1, short)
    before = near.cache.bytes_held
    near.load(1, long)
    assert near.cache.bytes_held - before > before + 500 + 500 + 250 + 500 + 500 + 6 * 250 - 20


def test_kept_changes_are_charged() -> None:
    """What is heard during a load is charged; of too much of it the session becomes suspect."""
    near = Near(budget=100 * ENTRY_COST)
    near.begin()
    near.cache.opened(KEY)
    load = near.begin()
    before = near.cache.bytes_held
    num = 2
    while near.cache.bytes_held < before + 100 * ENTRY_COST // 9:
        near.hear(append(num, _large(num)))
        num += 1
    while near.cache.bytes_held > before:
        near.hear(append(num, _large(num)))
        num += 1
        assert num < 100, "it is bounded"
    near.land(load, 1)
    assert near.seen() is None


@pytest.mark.parametrize("size", [50, 2000])
@pytest.mark.parametrize("name", ["", "n" * 490])
@pytest.mark.parametrize("own_view", [False, True])
@pytest.mark.parametrize("count", [1, 4, 70])
def test_what_is_charged_is_what_it_takes(own_view: bool, count: int, name: str, size: int) -> None:
    """Sessions take no more memory than they are charged, and not much less."""
    near, channels = Near(budget=10**9, ring_messages=128), dict[str, SessionKey]()
    gc.collect()
    tracemalloc.start()
    for at in range(max(30, 300 // count)):
        key = SessionKey(f"{name}n{at}", f"{name}u{at}", f"{name}s{at}")
        near.begin(key)
        channels[f"0:mc:{{{encode_key(key)}}}"] = key
        near.cache.opened(key)
        near.cache.land(near.begin(key), _stored(count, size, own_view=own_view), NOW, ONE)
        assert len(near.seen(20, key) or ()) == min(count, 20)
    near.subscribed.clear()
    encode_key.cache_clear()
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.75 < taken / near.cache.bytes_held < 1.05


def _stored(count: int, size: int, *, own_view: bool) -> Span:
    """A session as the store returns it: no two of its values are one object."""
    now = 1_700_000_000_000_000
    given = header(count, next_=count)._replace(max_created=now, updated=now, created=now)
    line = given.line().encode()
    meta = b"v300 1700000000000000" if own_view else b"s300 1700000000000000 01JD00000000000000"
    found = [
        StoredMessage(b'{"n":%d,"x":"%b"}' % (at, b"x" * size), meta_of(meta))
        for at in range(count)
    ]
    return Span(Header.parse(line), FOREVER, b'{"context":"%d"}' % count, 0, found, 0)


def test_turned_off() -> None:
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


def _large(num: int) -> StoredMessage:
    body, meta = message(num - 1)
    return StoredMessage(body[:-1] + b',"x":"' + b"x" * 400 + b'"}', meta)
