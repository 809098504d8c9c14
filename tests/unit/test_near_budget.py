import asyncio
from collections.abc import Sequence

from memory_cache import SessionKey
from memory_cache._blocks import Block
from memory_cache._entries import ENTRY_COST
from memory_cache._ports import FOREVER, Span
from memory_cache._types import StoredMessage
from unit.near import KEY, NOW, ONE, Near, snapshot
from unit.strategies import append, header, message


def test_those_who_answered_get_a_second_chance() -> None:
    """Over budget, the oldest session that has not answered of late is let go."""
    near = Near(budget=4 * ENTRY_COST)
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
    near = Near(budget=4 * ENTRY_COST)
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
    near.cache.blocks.keep(KEY, header(), 0, block)
    assert near.cache.blocks.get(KEY, header(9), 0) == block
    assert near.cache.blocks.get(KEY, header(edits=1), 0) is None
    assert near.cache.blocks.get(KEY, header(inc="other"), 0) is None
    near.cache.blocks.keep(KEY, header(), 1, Block(0, b"x" * 3 * ENTRY_COST, b"0"))
    assert near.cache.blocks.get(KEY, header(), 1) is None
    for number in range(2, 40):
        near.cache.blocks.keep(KEY, header(), number, block)
    near.cache.check()
    assert near.cache.blocks.get(KEY, header(), 0) is None
    assert near.cache.blocks.get(KEY, header(), 39) == block


def test_evicted_channel_closes_later() -> None:
    """The channel of a session that was let go stays open a while, and then is closed."""
    near = Near(budget=2 * ENTRY_COST)
    one, other = _keys(2)
    near.load(1, one)
    near.seen(key=one)
    near.load(1, other)
    near.cache.unsubscribe_retired(NOW)
    near.cache.unsubscribe_retired(NOW + 9)
    assert near.unsubscribed == []
    near.cache.unsubscribe_retired(NOW + 10)
    assert near.unsubscribed == [one]


def test_session_that_returns_keeps_its_channel() -> None:
    """A session that is loaded again before its channel was closed keeps it."""
    near = Near(budget=2 * ENTRY_COST)
    one, other = _keys(2)
    near.load(1, one)
    near.load(1, other)
    near.load(1, one)
    near.cache.unsubscribe_retired(NOW)
    near.cache.unsubscribe_retired(NOW + 1000)
    assert near.unsubscribed == [other]


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
