"""What a seed decides before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

from memory_cache import CacheConfig, SessionKey
from memory_cache.testing.simulation._network import chance

T = TypeVar("T")

KEYS: Final = (
    SessionKey("", "", "s"),
    SessionKey("a", "", "s"),
    SessionKey("a", "u", "s"),
    SessionKey("", "", "t"),
)
"""Names that differ in one part only."""

CHANGES: Final = (
    "append",
    "append",
    "append",
    "again",
    "put",
    "cut",
    "edit",
    "replace",
    "delete",
    "fields",
    "conditional",
)
READS: Final = ("bounded", "bounded", "newest", "at_least", "whole")


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The shape of one run: few things at a time, so that each is met often (as in swarm testing).

    Only the first ``writers`` workers are asked for changes. ``changes`` and ``reads`` are
    drawn from with equal weight. ``faults`` is how many there are, ``seconds`` how long the
    clients work, ``largest`` the characters of a message, ``many`` the messages of some changes.
    """

    configs: Sequence[CacheConfig]
    keys: Sequence[SessionKey]
    clients: int
    writers: int
    changes: Sequence[str]
    reads: Sequence[str]
    faults: int
    kinds: Sequence[str]
    seconds: float
    largest: int
    many: int
    ttl: bool


def draw(random: Random, kinds: Sequence[str]) -> Plan:
    """Draw a plan; ``kinds``: the faults there are."""
    staleness = random.choice([0.3, 0.6, 1.0])
    workers = random.choice([2, 2, 3])
    return Plan(
        configs=[_config(random, staleness) for _ in range(workers)],
        keys=some(random, KEYS, 3),
        clients=random.choice([2, 3, 4]),
        writers=random.randint(1, workers),
        changes=some(random, CHANGES, 6),
        reads=some(random, READS, 4),
        faults=random.choice([0, 4, 8, 12]),
        kinds=some(random, kinds, 4),
        seconds=random.uniform(3, 6) * staleness,
        largest=random.choice([60, 60, 300]),
        many=random.choice([3, 3, 3, 40]),
        ttl=chance(random, 0.3),
    )


def some(random: Random, items: Sequence[T], most: int) -> Sequence[T]:
    """Draw one to ``most`` different places of these."""
    return random.sample(items, random.randint(1, min(most, len(items))))


def _config(random: Random, staleness: float) -> CacheConfig:
    timeout = random.choice([0.1, 0.5])
    return CacheConfig(
        staleness_seconds=staleness,
        near_cache_bytes=random.choice([2 * 2048, 6000, 12_000, 1 << 20]),
        ring_messages=random.choice([1, 4, 8, 128]),
        delta_bytes=random.choice([0, 150, 1 << 16]),
        store_timeout_seconds=timeout,
        resend_seconds=60.0,
        touch_seconds=random.choice([0.1, 10.0]),
        sweep_seconds=random.choice([0.7, 3.0]),
    )
