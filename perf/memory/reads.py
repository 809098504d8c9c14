"""Fills a store for ``perf.memory.hot``, as far as memory allows, and gathers what it saw."""

import asyncio
import json
import sys
from pathlib import Path

from memory_cache import CacheConfig, open_cache
from perf.memory.sizes import messages
from perf.servers import child, valkey

COUNTS = (10, 100, 1_000, 10_000, 100_000)
LENGTHS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
HELD = 20
"""Messages in each of the many sessions."""
SESSION_BYTES = 30_000
"""What one of them takes, in the store and in the process together."""
MESSAGE_BYTES = 400
"""What one message of the long sessions takes in the store."""
SLICE = 1_000
FILLING = CacheConfig(near_cache_bytes=0, max_session_bytes=1024**3)


async def hot_reads(*, quick: bool) -> tuple[dict[str, dict[int, float]], list[str]]:
    """Return microseconds by number of sessions and by length, and what was left out, and why."""
    rows: dict[str, dict[int, float]] = {"sessions": {}, "length": {}}
    left_out = []
    for count in COUNTS[:2] if quick else COUNTS:
        if reason := _too_much(count * SESSION_BYTES):
            left_out.append(f"Hot reads of {count:,} sessions were left out: {reason}.")
            continue
        async with valkey() as url:
            await _fill(url, count)
            rows["sessions"][count] = (await _child(url, f"many-{count}"))[f"many-{count}"]
    lengths = []
    for length in LENGTHS[:3] if quick else LENGTHS:
        if reason := _too_much(length * MESSAGE_BYTES):
            left_out.append(f"A session of {length:,} messages was left out: {reason}.")
        else:
            lengths.append(length)
    async with valkey() as url:
        for length in lengths:
            await _lengthen(url, length)
        found = await _child(url, *(f"long-{length}" for length in lengths))
        rows["length"] = {length: found[f"long-{length}"] for length in lengths}
    return rows, left_out


def _too_much(needed: int) -> str:
    """Say why so many bytes cannot be had; empty if they can, or if nobody knows."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return ""
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    if needed * 1.5 < free:
        return ""
    return f"they take {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"


async def _fill(url: str, count: int) -> None:
    many = messages(HELD, 1)
    async with open_cache(url, config=FILLING) as cache:
        for at in range(0, count, 50):
            wanted = range(at, min(at + 50, count))
            await asyncio.gather(*(cache.session(f"many-{n}").append(many) for n in wanted))


async def _lengthen(url: str, length: int) -> None:
    async with open_cache(url, config=FILLING) as cache:
        chat = cache.session(f"long-{length}")
        for at in range(0, length, SLICE):
            seqs = range(at, min(at + SLICE, length))
            change = await chat.append(
                [{"role": "user", "content": f"{seq:09d} {'x' * 190}"} for seq in seqs]
            )
        assert change.end == length, "a wrong answer"


async def _child(url: str, *names: str) -> dict[str, float]:
    words = ("-m", "perf.memory.hot", url, *names)
    async with child(sys.executable, *words) as running:
        printed, _ = await running.communicate()
        if running.returncode:
            raise RuntimeError("hot reads could not be measured")
        found: dict[str, float] = json.loads(printed)
        return found
