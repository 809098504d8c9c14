from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache._coherence import TRANSITIONS, Effect, Event, Lease, State, judge, replay, step
from memory_cache._delta import Delta
from unit.strategies import append, header, message

ALL = [(state, event) for state in State for event in Event]


@pytest.mark.parametrize(("state", "event"), ALL, ids=lambda part: part.name)
def test_only_a_landing_makes_live(state: State, event: Event) -> None:
    """A session may answer only after a snapshot that was asked for since has landed on it."""
    after, effect = step(state, event)
    if after is State.LIVE and state is not State.LIVE:
        assert (state, event, effect) == (State.LOADING, Event.LANDED, Effect.INSTALL)
    if effect is Effect.APPLY:
        assert (state, event, after) == (State.LIVE, Event.NEXT, State.LIVE)
    if effect is Effect.KEEP:
        assert state is after is State.LOADING


@pytest.mark.parametrize("event", [Event.GAP, Event.DOUBT, Event.LOST])
def test_doubt_ends_answering(event: Event) -> None:
    """After a gap, a doubt or the end of the generation a session may not answer."""
    assert step(State.LIVE, event)[0] is not State.LIVE


@pytest.mark.parametrize("state", State)
def test_lost_forgets_the_subscription(state: State) -> None:
    """In another generation nothing is subscribed, wherever one was."""
    assert step(state, Event.LOST) == (State.COLD, Effect.NONE)


def test_every_state_has_a_way_to_live() -> None:
    """From every state some events lead to answering again."""
    reached = {State.LIVE}
    for _ in State:
        reached |= {state for (state, _), (after, _) in TRANSITIONS.items() if after in reached}
    assert reached == set(State)


@pytest.mark.parametrize(
    ("delta", "event"),
    [
        (append(4), Event.NEXT),
        (append(3), Event.KNOWN),
        (append(5), Event.GAP),
        (append(2), Event.KNOWN),
        (Delta("A", "t1", header(2)._replace(eras=(("lost", 1),)), -1, None, ()), Event.GAP),
        (append(4, inc="other"), Event.GAP),
        (append(3, inc="other"), Event.GAP),
        (Delta("A", "fork", header(4), -1, None, ()), Event.GAP),
        (Delta("A", "t2", header(3)._replace(tag="fork"), -1, None, ()), Event.GAP),
        (Delta("C", "t3", header(4), -1, None, None), Event.GAP),
        (Delta("D", "t3", header(4), -1, None, None), Event.GAP),
        (append(4, next_=5), Event.GAP),
        (append(4, next_=3), Event.GAP),
        (append(4, message(3), message(4)), Event.GAP),
        (replace(append(4), header=header(4, next_=4, edits=1)), Event.GAP),
        (replace(append(4), header=header(4, next_=4, first=1)), Event.GAP),
        (replace(append(4), header=header(4, next_=4)._replace(fields_num=4)), Event.GAP),
        (replace(append(4), fields=b"{}"), Event.GAP),
    ],
)
def test_judge(delta: Delta, event: Event) -> None:
    """A delta applies only if it continues just what is held, and its messages add up to it."""
    assert judge(header(3, next_=3), delta) is event


def test_nothing_continues_nothing() -> None:
    """To a session of which nothing is held every delta is a gap."""
    assert judge(None, append(1)) is Event.GAP


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(-1, 9))
def test_replay(snapshot: int, begin: int, count: int, left_out: int) -> None:
    """What was kept is replayed from the snapshot on, if and only if nothing is missing."""
    kept = [append(num) for num in range(begin, begin + count) if num != left_out]
    after = [delta for delta in kept if delta.header.num > snapshot]
    whole = [delta.header.num for delta in after] == [snapshot + 1 + i for i in range(len(after))]
    assert replay(header(snapshot, next_=snapshot), kept) == (after if whole else None)


def test_replay_of_another_incarnation() -> None:
    """A session that was deleted and made again in between continues nothing."""
    assert replay(header(3), [append(1, inc="other")]) is None
    assert replay(header(1, inc="other"), [append(2)]) is None


class TestLease:
    """The lease, told about fences."""

    def test_needs_nonce_and_answer(self) -> None:
        """Neither the nonce nor the answer alone renews; both do, in either order."""
        for first, second in (("heard", "answered"), ("answered", "heard")):
            lease = Lease(1.0)
            lease.sent("n", 10.0)
            assert not getattr(lease, first)("n")
            assert not lease.holds(10.0)
            assert getattr(lease, second)("n")
            assert lease.holds(10.999)
            assert not lease.holds(11.0)

    def test_counts_from_when_the_fence_was_sent(self) -> None:
        """A late answer gives no more time than an early one."""
        lease = Lease(1.0)
        lease.sent("n", 10.0)
        lease.heard("n")
        lease.answered("n")
        assert lease.until == 11.0

    def test_unknown_nonce(self) -> None:
        """Somebody else's nonce, and one that was used, change nothing."""
        lease = Lease(1.0)
        lease.sent("n", 10.0)
        assert not lease.heard("other")
        assert not lease.answered("other")
        lease.heard("n")
        lease.answered("n")
        assert not lease.heard("n")
        assert not lease.answered("n")

    def test_older_fence_never_shortens(self) -> None:
        """Fences that come back out of order leave the longest lease."""
        lease = Lease(1.0)
        lease.sent("a", 10.0)
        lease.sent("b", 10.5)
        for nonce in ("b", "a"):
            lease.heard(nonce)
            lease.answered(nonce)
        assert lease.until == 11.5
        assert lease.passed == 10.5

    def test_ends_with_its_generation(self) -> None:
        """No fence of an earlier generation renews a lease that has ended."""
        lease = Lease(1.0)
        lease.sent("a", 10.0)
        lease.sent("b", 10.1)
        lease.heard("a")
        lease.answered("a")
        lease.heard("b")
        lease.end()
        assert not lease.holds(10.2)
        assert not lease.answered("b")
        assert not lease.holds(10.2)
