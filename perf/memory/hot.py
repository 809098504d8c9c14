"""
Hot reads of the last twenty: against the number of hot sessions, and the length of one.

    python -m perf.memory.hot URL NAME…

Run as a process of its own, so that nothing else is in it. Reads the sessions of these names until
they are hot, then reads each in turn, and prints the microseconds of a read of each, as one line of
JSON. A name ``many-N`` stands for N sessions, ``many-0`` to ``many-<N-1>``, read in turn.
"""

import asyncio
import json
import statistics
import sys
import time

from memory_cache import CacheConfig, Session, SessionCache, open_cache

LAST = 20
ROUNDS = 9
READS = 10_000
HOT_SECONDS = 10
CONFIG = CacheConfig(
    near_cache_bytes=8 * 1024**3,  # what is not used is not taken
    staleness_seconds=600,
    sweep_seconds=600,
)


async def measure(url: str, names: list[str]) -> dict[str, float]:
    """Return the median of the rounds; within each, the names take turns."""
    async with open_cache(url, config=CONFIG) as cache:
        chats = {name: [cache.session(one) for one in _each(name)] for name in names}
        for group in chats.values():
            for chat in group:
                await _heat(chat)
        seen: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name, group in chats.items():
                seen[name].append(_read(cache, group))
        return {name: round(statistics.median(times), 3) for name, times in seen.items()}


def _each(name: str) -> list[str]:
    kind, _, number = name.rpartition("-")
    return [f"many-{one}" for one in range(int(number))] if kind == "many" else [name]


async def _heat(chat: Session) -> None:
    async with asyncio.timeout(HOT_SECONDS):
        while chat.peek(LAST) is None:
            page = await chat.recent(LAST)
            assert page.next > 0, "a wrong answer"


def _read(cache: SessionCache, group: list[Session]) -> float:
    """Return the microseconds of a read, as bytes."""
    hits = cache.statistics().hits
    turns = max(1, READS // len(group))
    began = time.perf_counter()
    for _ in range(turns):
        for chat in group:
            page = chat.peek(LAST)
            assert page is not None, "it was hot"
            page.json  # noqa: B018  # joining the bytes is the read
    took = time.perf_counter() - began
    assert cache.statistics().hits - hits == turns * len(group), "the near cache answered all"
    return took / (turns * len(group)) * 1e6


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], sys.argv[2:]))))
