"""Counters, as definitions."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_KEPT: Final = 512
"""Times kept of each kind; the newest."""


def _times() -> deque[float]:
    return deque(maxlen=_KEPT)


@dataclass(slots=True)
class Counters:
    """What one cache has done so far: numbers that only grow, and how long the last fences took."""

    hits: int = 0  # reads answered from a ring
    misses: int = 0  # reads that asked the store
    joined: int = 0  # of these, reads that shared another one's call
    fills: int = 0  # snapshots put into a ring that may answer
    deltas: int = 0  # changes applied to a ring from the bus
    evicted: int = 0  # entries and blocks that had to make room
    generations: int = 0  # subscriptions made
    fences: int = 0  # fences sent
    lapses: int = 0  # looks at a session that only the lease kept from answering
    revalidated: int = 0  # suspects whose data turned out to be a prefix and was kept
    reloaded: int = 0  # suspects whose data had to be replaced
    resent: int = 0  # changes sent again after a lost answer
    audits: int = 0  # hot sessions compared with the store
    crashes: Counter[str] = field(default_factory=Counter)  # of background tasks, by kind
    suspects: Counter[str] = field(default_factory=Counter)  # by reason
    departures: Counter[str] = field(default_factory=Counter)  # snapshots, by kind
    violations: Counter[str] = field(default_factory=Counter)  # found by an audit, by kind
    fence_seconds: deque[float] = field(default_factory=_times)
    propagation_seconds: deque[float] = field(default_factory=_times)


@dataclass(frozen=True, slots=True)
class Statistics:
    """
    A moment of a cache. ``reads == hits + misses``.

    Attributes:
        sessions_held, bytes_held, bytes_budget: so many bytes of the budget are charged, to
            these sessions and to sealed blocks.
        lease_seconds: for how long the near cache may still answer if no fence comes back.
        lapses: how often it could not answer, connected and in step, because the lease was over
            (or there was none yet). One read may look more than once.
        fence_p50_seconds, fence_p99_seconds: from sending a fence until both its answer and its
            nonce were in: of the last 512 that came back, None before the first. A fence that
            does not come back within ``staleness_seconds`` ends the generation.
        propagation_p50_seconds, propagation_p99_seconds: of the same fences, from sending until
            the nonce came out of the subscription, handled in order with all changes. By one
            clock. It is an upper bound, not the delay itself: a change that the store made at
            the moment it published the nonce took at most that long to be seen here.
        suspects: how often a session became suspect, by reason. ``gap``, ``fork``,
            ``rollback`` and ``incarnation`` were heard on the bus (``edited`` too, which is no
            fault: a change that does not carry its messages); ``lost`` with its generation;
            ``expired``; ``late``: the delta of a change of ours; ``unknown``: the outcome of
            one; ``undecodable``: a message of the bus that is none of ours, or damaged;
            ``audit``.
        departures: how often what the store had, when a suspect was loaded anew, did not continue
            what was held: ``rollback`` (it has fewer changes) and ``fork`` (other ones) are what
            a failover lost, ``incarnation`` a session deleted and made again.
        audits: so many hot sessions, some in turn every ``sweep_seconds``, were compared with the
            store, a fence having passed in between.
        violations: what they found that should not be, by kind: ``behind`` (a change was not
            heard), ``fork``, ``rollback``, ``incarnation``, ``gone`` (as after an eviction or a
            key deleted by hand) or ``damaged``. The session is suspect then, so the next read asks
            the store.
        crashes: how often a task in the background ended by an exception that nothing expects,
            which is a bug of ours, by task and exception. It was begun again; the first of each
            kind is in the log. It should be empty.
    """

    reads: int
    hits: int
    misses: int
    joined: int
    fills: int
    deltas: int
    evicted: int
    generations: int
    fences: int
    lapses: int
    fence_p50_seconds: float | None
    fence_p99_seconds: float | None
    propagation_p50_seconds: float | None
    propagation_p99_seconds: float | None
    revalidated: int
    reloaded: int
    resent: int
    suspects: dict[str, int]
    departures: dict[str, int]
    audits: int
    violations: dict[str, int]
    crashes: dict[str, int]
    sessions_held: int
    bytes_held: int
    bytes_budget: int
    lease_seconds: float


def snapshot(
    counters: Counters, *, sessions_held: int, bytes_held: int, bytes_budget: int, lease: float
) -> Statistics:
    """Return the counters as they are now."""
    fences = sorted(counters.fence_seconds)
    propagation = sorted(counters.propagation_seconds)
    return Statistics(
        reads=counters.hits + counters.misses,
        hits=counters.hits,
        misses=counters.misses,
        joined=counters.joined,
        fills=counters.fills,
        deltas=counters.deltas,
        evicted=counters.evicted,
        generations=counters.generations,
        fences=counters.fences,
        lapses=counters.lapses,
        fence_p50_seconds=_quantile(fences, 50),
        fence_p99_seconds=_quantile(fences, 99),
        propagation_p50_seconds=_quantile(propagation, 50),
        propagation_p99_seconds=_quantile(propagation, 99),
        revalidated=counters.revalidated,
        reloaded=counters.reloaded,
        resent=counters.resent,
        suspects=dict(counters.suspects),
        departures=dict(counters.departures),
        audits=counters.audits,
        violations=dict(counters.violations),
        crashes=dict(counters.crashes),
        sessions_held=sessions_held,
        bytes_held=bytes_held,
        bytes_budget=bytes_budget,
        lease_seconds=max(0.0, lease),
    )


def _quantile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the least of them that so many percent are not above."""
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)] if ordered else None
