"""
What the near cache costs a process: its own count of bytes against what the system sees.

    python -m perf.memory.near URL BUDGET SESSIONS

Run as a process of its own, so that nothing else of ours is counted. Prints one line of JSON.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from memory_cache import CacheConfig, SessionCache, open_cache

LAST = 20
PEEKS = 20_000
HOT_SECONDS = 10
LOOK_EVERY = 100
"""Statistics count all that is held: seldom enough not to be what takes the time."""


def resident() -> int:
    """Return the bytes of memory this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(url: str, budget: int, sessions: int, *, rings: bool) -> dict[str, Any]:
    """Read sessions until the budget is used up; whole ones, unless ``rings`` are all we want."""
    config = CacheConfig(near_cache_bytes=budget, staleness_seconds=600, sweep_seconds=600)
    async with open_cache(url, config=config) as cache:
        await _heat(cache, 0, rings=rings)
        before, held = resident(), cache.statistics().bytes_held
        used = 0
        for number in range(1, sessions):
            await _heat(cache, number, rings=rings)
            used = number
            if number % LOOK_EVERY == 0 and cache.statistics().evicted > sessions // 20:
                break
        after = cache.statistics()
        grown = resident() - before
        return {
            "sessions_held": after.sessions_held,
            "sessions_read": used + 1,
            "bytes_held": after.bytes_held,
            "budget": budget,
            "resident_growth": grown,
            "ratio_to_held": round(grown / (after.bytes_held - held), 3),
            "ratio_to_budget": round(grown / budget, 3),
            "peek_us": _peeks(cache, used),
        }


async def _heat(cache: SessionCache, number: int, *, rings: bool) -> None:
    chat = cache.session(f"near-{number}")
    async with asyncio.timeout(HOT_SECONDS):
        while chat.peek(LAST) is None:
            page = await chat.recent(LAST)
            assert page.next > 0, "a wrong answer"
    if not rings:
        await chat.transcript()


def _peeks(cache: SessionCache, last: int) -> float:
    """Return the microseconds of a hot read, sessions in turn, the last that were read."""
    hot = []
    for number in range(last, -1, -1):
        chat = cache.session(f"near-{number}")
        if chat.peek(LAST) is None:
            break
        hot.append(chat.peeker(LAST))
    if not hot:
        return 0.0
    began = time.perf_counter()
    for number in range(PEEKS):
        page = hot[number % len(hot)]()
        assert page is not None, "it was hot"
        page.json  # noqa: B018  # joining the bytes is the read
    return round((time.perf_counter() - began) / PEEKS * 1e6, 2)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("budget", type=int)
    parser.add_argument("sessions", type=int)
    parser.add_argument("--rings", action="store_true", help="read the last messages only")
    options = parser.parse_args()
    found = asyncio.run(measure(options.url, options.budget, options.sessions, rings=options.rings))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
