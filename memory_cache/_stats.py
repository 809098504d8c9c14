"""Counters, as definitions."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """What one cache has done so far; plain numbers that only grow."""

    hits: int = 0  # reads answered from a ring
    misses: int = 0  # reads that asked the store
    joined: int = 0  # of these, reads that shared another one's call
    fills: int = 0  # snapshots put into a ring that may answer
    deltas: int = 0  # changes applied to a ring from the bus
    evicted: int = 0  # entries and blocks that had to make room
    generations: int = 0  # subscriptions made
    fences: int = 0  # fences sent
    revalidated: int = 0  # suspects whose data turned out to be a prefix and was kept
    reloaded: int = 0  # suspects whose data had to be replaced
    resent: int = 0  # changes sent again after a lost answer
    suspects: Counter[str] = field(default_factory=Counter)  # by reason


@dataclass(frozen=True, slots=True)
class Statistics:
    """
    A moment of a cache. ``reads == hits + misses``.

    ``bytes_held`` of ``bytes_budget`` are charged to ``sessions_held`` sessions and the sealed
    blocks; ``suspects`` counts, by reason, how often a session became suspect.
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
    revalidated: int
    reloaded: int
    resent: int
    suspects: dict[str, int]
    sessions_held: int
    bytes_held: int
    bytes_budget: int
    lease_seconds: float


def snapshot(
    counters: Counters, *, sessions_held: int, bytes_held: int, bytes_budget: int, lease: float
) -> Statistics:
    """Return the counters as they are now."""
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
        revalidated=counters.revalidated,
        reloaded=counters.reloaded,
        resent=counters.resent,
        suspects=dict(counters.suspects),
        sessions_held=sessions_held,
        bytes_held=bytes_held,
        bytes_budget=bytes_budget,
        lease_seconds=max(0.0, lease),
    )
