from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.reference import BOUND, Reference
from memory_cache.testing import AnomalyKind, check_history
from memory_cache.testing.history import (
    Answer,
    Applied,
    Asked,
    Fault,
    Final,
    History,
    Read,
    Sighting,
    Write,
    WriteKind,
)

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
    assert all(0 < stale.seconds <= BOUND for stale in verdict.staleness)


A, B = "a.reign1", "b.reign1"


def write(
    kind: WriteKind,
    *names: str,
    at: tuple[float, float | None],
    version: str | None = None,
    applied: Applied = Applied.YES,
    operation: str | None = None,
    replayed: bool = False,
) -> Write:
    """One write; an append starts at seq 0."""
    start = 0 if version and kind is WriteKind.APPEND else None
    return Write(
        kind, "s", "c", "w", *at, applied, names, operation, None, version, start, replayed
    )


def page(at: float, version: str, *names: str) -> Read:
    """A read of the newest that takes no time."""
    shown = tuple(Sighting(name, "s") for name in names)
    return Read(
        "s", "c", "w", at, at, Asked.NEWEST, Answer.PAGE, 20, None, version, 0, len(names), 0, shown
    )


def absent(at: float) -> Read:
    """A read that finds nothing and takes no time."""
    return Read("s", "c", "w", at, at, Asked.NEWEST, Answer.ABSENT, 20)


def failover(at: float) -> Fault:
    """One that may lose what went before."""
    return Fault("failover", at, at, may_lose=True)


DELETE, APPEND, PUT = WriteKind.DELETE, WriteKind.APPEND, WriteKind.PUT
LEGAL = {
    "a DELETE and a read of one time are in any order": History(
        [
            write(APPEND, "m", at=(0, 1), version=f"{A}.1.t"),
            write(DELETE, at=(3, 4), version=f"{A}.2.u"),
        ],
        [absent(3)],
    ),
    "a time to live counts from the beginning of its millisecond": History(
        [replace(write(APPEND, "m", at=(0.0006, 0.0007), version=f"{A}.1.t"), ttl_seconds=1.0)],
        [absent(1.0002)],
    ),
    "a DELETE whose record was lost deletes once more": History(
        [
            write(DELETE, at=(0, 1), operation="d"),
            write(APPEND, "m", at=(3, 4), version=f"{A}.1.t"),
            write(DELETE, at=(5, 6), version=f"{A}.2.u", operation="d"),
        ],
        [absent(7)],
        [failover(2)],
    ),
    "a DELETE that found nothing and is told again deletes nothing": History(
        [
            write(DELETE, at=(0, 1), operation="d"),
            write(APPEND, "m", at=(3, 4), version=f"{A}.1.t"),
            write(DELETE, at=(5, 6), operation="d", replayed=True),
        ],
        [page(7, f"{A}.1.t", "m")],
        [failover(2)],
    ),
    "an append resent after a failover that lost it was there before, too": History(
        [
            write(APPEND, "m", at=(0, None), applied=Applied.UNKNOWN, operation="o"),
            write(APPEND, "m", at=(5, 6), version=f"{B}.1.t", operation="o"),
        ],
        [page(1, f"{A}.1.u", "m"), page(7, f"{B}.1.t", "m")],
        [failover(2)],
    ),
    "so was one that its worker resent": History(
        [write(APPEND, "m", at=(0, 6), version=f"{B}.1.t")],
        [page(1, f"{A}.1.u", "m"), page(7, f"{B}.1.t", "m")],
        [failover(2)],
    ),
    "and a PUT": History(
        [write(PUT, "m", at=(0, 6), version=f"{B}.1.t")],
        [page(1, f"{A}.1.u", "m"), page(7, f"{B}.1.t", "m")],
        [failover(2)],
    ),
    "what is refused may have been there before a failover": History(
        [write(PUT, "m", at=(0, 6), applied=Applied.NO)], [page(1, f"{A}.1.u", "m")], [failover(2)]
    ),
    "and a DELETE that is refused": History(
        [
            write(APPEND, "m", at=(0, 1), version=f"{A}.1.t"),
            write(DELETE, at=(2, 6), applied=Applied.NO),
        ],
        [absent(3), page(7, f"{A}.1.t", "m")],
        [failover(4)],
    ),
}


@pytest.mark.parametrize("since", [5.0, 7.0])
@pytest.mark.parametrize("reign", ["reign3", "reign4"])
def test_version_that_is_lost_later(since: float, reign: str) -> None:
    """An answer held what was asked for if a later fault may have taken both."""
    asked = f"{A}.1.t"
    given = f"a.{reign}.2.u"
    read = replace(page(since, given, "m", "n"), asked=Asked.AT_LEAST, asked_version=asked, start=0)
    history = History(
        [write(APPEND, "m", at=(0, 1), version=asked)],
        [read],
        [failover(2), failover(6)],
        [Final("s", "a.reign4.3.v", 0, tuple(Sighting(name, "s") for name in "xyz"))],
    )
    history.writes += [
        write(APPEND, name, at=(at, None), applied=Applied.UNKNOWN)
        for at, name in enumerate("nxyz", 3)
    ]
    found = {each.kind for each in check_history(history, BOUND).anomalies}
    told = AnomalyKind.VERSION_NOT_GIVEN in found
    # Of reign4 is what there is in the end, and that does not have it.
    assert told == (since > 6 or reign == "reign4")


@pytest.mark.parametrize("history", LEGAL.values(), ids=LEGAL.keys())
def test_legal(history: History) -> None:
    """What may happen, though it is rare, is no anomaly."""
    assert check_history(history, BOUND).anomalies == ()


@pytest.mark.parametrize("name", [name for name in LEGAL if LEGAL[name].faults])
def test_only_with_a_fault(name: str) -> None:
    """Of these what needs a fault to be explained is an anomaly where none struck."""
    history = replace(LEGAL[name], faults=[])
    found = check_history(history, BOUND).anomalies != ()
    assert found == (name != "a DELETE that found nothing and is told again deletes nothing")


@pytest.mark.parametrize("kind", [APPEND, PUT])
def test_refused_for_good(kind: WriteKind) -> None:
    """What is there in the end, or T after the refusal, was not refused, whatever struck."""
    refused, faults = write(kind, "m", at=(0, 6), applied=Applied.NO), [failover(2)]
    final = Final("s", f"{B}.1.t", 0, (Sighting("m", "s"),))
    late = page(6.1 + BOUND, f"{B}.1.t", "m")
    for history in (History([refused], [], faults, [final]), History([refused], [late], faults)):
        found = check_history(history, BOUND).anomalies
        assert {anomaly.kind for anomaly in found} == {AnomalyKind.AFTER_REFUSAL}


@pytest.mark.parametrize("kind", [PUT, DELETE])
def test_refused_excuses_nothing_later(kind: WriteKind) -> None:
    """What was refused across a fault does not explain what is missing afterwards."""
    writes = [
        write(kind, at=(4, 6), applied=Applied.NO),
        write(APPEND, "m", at=(100, 101), version=f"{A}.1.t"),
    ]
    empty = absent(102) if kind is DELETE else page(102, f"{A}.2.u")
    history = History(writes, [empty], [failover(5)])
    assert check_history(history, BOUND).anomalies != ()
