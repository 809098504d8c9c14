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
from pathlib import Path
from typing import Any

from memory_cache import CacheConfig, SessionCache, open_cache

LAST = 20
HOT_SECONDS = 10
LOOK_EVERY = 100
"""Statistics count all that is held: seldom enough not to be what takes the time."""


def resident() -> int:
    """Return the bytes of memory this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(url: str, budget: int, sessions: int) -> dict[str, Any]:
    """Read whole sessions until the budget is used up."""
    config = CacheConfig(near_cache_bytes=budget, staleness_seconds=600, sweep_seconds=600)
    async with open_cache(url, config=config) as cache:
        await _heat(cache, 0)
        before, held = resident(), cache.statistics().bytes_held
        used = 0
        for number in range(1, sessions):
            await _heat(cache, number)
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
        }


async def _heat(cache: SessionCache, number: int) -> None:
    chat = cache.session(f"near-{number}")
    async with asyncio.timeout(HOT_SECONDS):
        while chat.peek(LAST) is None:
            page = await chat.recent(LAST)
            assert page.next > 0, "a wrong answer"
    await chat.transcript()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("budget", type=int)
    parser.add_argument("sessions", type=int)
    options = parser.parse_args()
    found = asyncio.run(measure(options.url, options.budget, options.sessions))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
