from collections.abc import Callable

from memory_cache import SessionKey
from memory_cache._entries import ENTRY_COST
from memory_cache._types import Header
from unit.near import KEY, NOW, ONE, Near, cost
from unit.strategies import append


def test_says_yes_while_nothing_changed() -> None:
    """What was answered may be answered again, as a hit, until a change is heard."""
    near = Near()
    near.load(3)
    valid, header = _validator(near), _header(near)
    assert valid(header)
    assert near.counters.hits == 1
    near.hear(append(4))
    assert not valid(header)
    assert valid(_header(near))
    assert near.counters.hits == 2


def test_answers_only_where_a_read_would() -> None:
    """Past the lease, in another generation and of a suspect it says no; it recovers."""
    near = Near()
    near.load(3)
    now = [NOW]
    valid, header = _validator(near, lambda: now[0]), _header(near)
    now[0] = NOW + 1
    assert not valid(header)
    now[0] = NOW
    near.cache.doubt(KEY, "late")
    assert not valid(header)
    near.land(near.begin(), 3)
    assert valid(_header(near))
    near.cache.lost()
    near.connect()
    assert not valid(_header_held(near))


def test_an_entry_that_was_let_go_never_answers() -> None:
    """After an eviction it says no, and follows the session when that is loaded again."""
    near = Near(budget=2 * ENTRY_COST)
    near.load(3)
    valid, header = _validator(near), _header(near)
    assert valid(header)
    near.load(3, SessionKey("", "", "other"))
    near.load(3, SessionKey("", "", "another"))
    assert not valid(header)
    near.load(3)
    assert valid(_header(near))


def test_saying_yes_is_use() -> None:
    """A session whose answers are given out again is not the one that makes room."""
    near = Near(budget=3 * cost(3) + 100)
    keys = [SessionKey("", "", f"s{at}") for at in range(4)]
    for key in keys[:3]:
        near.load(3, key)
    assert _validator(near, key=keys[0])(_header(near, keys[0]))
    entry = near.cache._entry(keys[0])
    assert entry is not None
    entry.used = False
    assert _validator(near, key=keys[0])(_header_held(near, keys[0]))
    near.load(3, keys[3])
    assert near.cache.live(keys[0])
    assert not near.cache.live(keys[1])


def _validator(
    near: Near, now: Callable[[], float] = lambda: NOW, key: SessionKey = KEY
) -> Callable[[Header], bool]:
    return near.cache.validator(key, now)


def _header(near: Near, key: SessionKey = KEY) -> Header:
    page = near.cache.answer(key, ONE, NOW)
    assert page is not None
    return _header_held(near, key)


def _header_held(near: Near, key: SessionKey = KEY) -> Header:
    entry = near.cache._entry(key)
    assert entry is not None
    assert entry.header is not None
    return entry.header
