from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache import CacheConfig, SessionKey
from memory_cache._audit import departure, in_turn, interruption, verdict
from memory_cache._delta import Delta
from memory_cache._types import Header
from unit.near import Near, snapshot
from unit.strategies import header

keys = st.integers(0, 20).map(lambda at: SessionKey("", "", str(at)))
KEY = SessionKey("", "", "s")


# Whose turn it is


@given(st.sets(keys, min_size=1), st.lists(st.sets(keys)), st.integers(1, 5))
def test_every_session_that_stays_hot_has_its_turn(
    stay: set[SessionKey], others: list[set[SessionKey]], most: int
) -> None:
    """Whoever else comes and goes, a session waits for those before it in the line, and no more."""
    line: list[SessionKey] = []
    some, line = in_turn([], dict.fromkeys(sorted(stay), header()), most)
    seen, rounds = set(some), 1
    for more in [*others, *[set[SessionKey]()] * len(stay)]:
        if rounds * most >= len(stay):
            break
        some, line = in_turn(line, dict.fromkeys(sorted(stay | more), header()), most)
        assert len(some) == len(set(some)) <= most
        seen |= set(some)
        rounds += 1
    assert stay <= seen


# The verdict


@given(st.lists(st.integers(1, 30), min_size=3, max_size=3))
def test_no_verdict_on_one_history(nums: list[int]) -> None:
    """What was held, what the store had then and what is held now are right in this order."""
    before, found, now = (header(num) for num in sorted(nums))
    assert verdict(before, found, now) is None


OTHER = "another tag"


@pytest.mark.parametrize(
    ("kind", "found", "now"),
    [
        ("gone", None, header(5)),
        ("gone", None, header(6)),
        ("behind", header(6), header(5)),
        ("rollback", header(4), header(5)),
        ("fork", header(5)._replace(tag=OTHER), header(5)),
        ("fork", header(6)._replace(tag=OTHER), header(6)),
        ("fork", header(9)._replace(eras=(("other", 0),)), header(5)),
        ("incarnation", header(5, inc="other"), header(5)),
        # It was loaded anew meanwhile, and the store's answer may have been older.
        (None, None, header(1, inc="other")),
        (None, header(5), header(1, inc="other")),
    ],
)
def test_verdicts(kind: str | None, found: Header | None, now: Header) -> None:
    """Each way in which the store may differ from version 5 that was held has its name."""
    assert verdict(header(5), found, now) == kind


@pytest.mark.parametrize(
    ("reason", "previous", "after"),
    [
        ("edited", "t5", header(6)),
        ("gap", "t6", header(7)),
        ("fork", OTHER, header(6)),
        ("fork", "t4", header(5)._replace(tag=OTHER)),
        ("rollback", "t3", header(4)._replace(tag=OTHER, eras=(("other", 0),))),
        ("incarnation", "-", header(1, inc="other")),
    ],
)
def test_what_interrupts_is_counted_by_reason(reason: str, previous: str, after: Header) -> None:
    """A session that a change on the bus makes suspect is counted under what that change was."""
    near = Near()
    near.load(5)
    near.hear(Delta("C", previous, after, -1, None, None))
    assert near.seen() is None
    assert near.counters.suspects == {reason: 1}


def test_nothing_continues_nothing() -> None:
    """A change of a session of which nothing is held lacks what came before it."""
    assert interruption(None, "t5", header(6)) == "gap"


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (None, header(5, next_=5)),
        (None, header(7, next_=7)),
        ("rollback", header(4, next_=4)),
        ("fork", header(6, next_=6)._replace(eras=(("other", 0),))),
        ("incarnation", header(2, inc="other", next_=2)),
    ],
)
def test_what_a_load_finds_is_counted_by_kind(kind: str | None, found: Header) -> None:
    """A snapshot that does not continue what a suspect held is counted as what it is."""
    near = Near()
    near.load(5)
    near.cache.doubt(KEY, "late")
    near.land(near.begin(), 0, span=replace(snapshot(found.num), header=found))
    assert departure(header(5), found) == kind
    assert near.counters.departures == ({} if kind is None else {kind: 1})


@pytest.mark.parametrize("setting", [{"sweep_seconds": 0.0}, {"sweep_sessions": -1}])
def test_rates_that_cannot_be(setting: dict[str, float]) -> None:
    """A sweep without a period, or of less than none, is refused."""
    with pytest.raises(ValueError, match="sweep"):
        CacheConfig(**setting)  # type: ignore[arg-type]
