from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.reference import BOUND, Reference
from memory_cache.testing import check_history
from memory_cache.testing.history import Applied, Asked, History, WriteKind

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append"] * 6 + ["read"] * 6 + ["put", "put", "delete", "unknown"] * 2),
        st.integers(0, 2**32),
    ),
    max_size=80,
)


def step(reference: Reference, kind: str, number: int) -> None:
    """Make one random change or read."""
    random = Random(number)
    session = random.choice(["chat", "talk"])
    state = reference.state(session)
    unknown = Applied.UNKNOWN if random.random() < 0.3 else Applied.YES
    match kind:
        case "append":
            names = reference.names(random.choice([0, 1, 1, 1, 3]))
            reference.write(WriteKind.APPEND, session, names, applied=unknown, resent=True)
        case "unknown":
            applied = random.choice([Applied.UNKNOWN, Applied.NO])
            reference.write(WriteKind.APPEND, session, reference.names(2), applied=applied)
        case "put":
            held = list(state.names) if state else []
            cut = random.choice([0, 0, len(held) // 2, len(held)])
            names = (*held[random.choice([0, 3]) : len(held) - cut], *reference.names(2))
            reference.write(WriteKind.PUT, session, names, applied=unknown, resent=True)
        case "delete":
            reference.write(WriteKind.DELETE, session, applied=unknown)
        case "fail":
            reference.fail_over(random.randrange(5))
        case _:
            asked = random.choice([Asked.BOUNDED, Asked.NEWEST])
            reference.read(session, asked, random.choice([1, 5, 20, None]))


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 2**32))
def test_clean(steps: list[tuple[str, int]], seed: int) -> None:
    """A legal history passes, whatever was not answered, replaced or deleted in it."""
    reference = Reference(seed)
    for kind, number in steps:
        step(reference, kind, number)
    verdict = check_history(reference.end(), BOUND)
    assert verdict.anomalies == ()
    assert verdict.losses == ()
    assert all(0 < stale.seconds <= BOUND for stale in verdict.staleness)


def random_history(seed: int, extra: tuple[str, ...] = ()) -> History:
    """Return a long one."""
    random, reference = Random(seed), Reference(seed)
    kinds = ["append"] * 9 + ["read"] * 9 + ["put", "unknown", "delete", *extra]
    for _ in range(400):
        step(reference, random.choice(kinds), random.getrandbits(32))
    return reference.end()


@pytest.mark.parametrize("seed", range(20))
def test_clean_long(seed: int) -> None:
    """A long legal history passes."""
    assert check_history(random_history(seed), BOUND).anomalies == ()


def test_order_of_records() -> None:
    """The order in which clients wrote down what they saw does not matter."""
    history = random_history(1)
    verdict = check_history(history, BOUND)
    Random(2).shuffle(history.writes)
    Random(3).shuffle(history.reads)
    assert Counter(check_history(history, BOUND).staleness) == Counter(verdict.staleness)
    assert replace(verdict, staleness=()) == replace(check_history(history, BOUND), staleness=())


@pytest.mark.parametrize("seed", range(20))
def test_failovers(seed: int) -> None:
    """What failovers lost is told apart from what was lost for nothing."""
    verdict = check_history(random_history(seed, ("fail",)), BOUND)
    assert verdict.anomalies == ()
    assert {loss.fault for loss in verdict.losses} <= {"failover"}
