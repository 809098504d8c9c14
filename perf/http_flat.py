"""
Is it flat over HTTP? Append, and hot GET of the last 20, at 100 messages and at 100,000.

    python -m perf.http_flat [--rounds 9]

The sizes take turns within each round; compared are medians of one run. Answers are checked. Exit
code 1: over a target.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time

import httpx

from memory_cache import open_cache
from perf.servers import process, valkey

SIZES = (100, 100_000)
CALLS = 200
TARGETS = {"append": 1.10, "hot_get": 1.05}


def path(size: int) -> str:
    """Return the path of the session that began with ``size`` messages."""
    return f"/v1/working-memory/flat-{size}"


async def appends(client: httpx.AsyncClient, size: int) -> list[float]:
    """Return the seconds of single appends."""
    seen: list[float] = []
    for _ in range(CALLS):
        body = {"messages": [{"role": "user", "content": "x" * 280}]}
        began = time.perf_counter()
        answer = await client.post(f"{path(size)}/messages", json=body)
        seen.append(time.perf_counter() - began)
        document = answer.json()
        assert document["end"] == document["next"] == document["start"] + 1, "a wrong answer"
    return seen


async def reads(client: httpx.AsyncClient, size: int) -> list[float]:
    """Return the seconds of GETs that were answered from memory."""
    seen: list[float] = []
    while len(seen) < CALLS:
        began = time.perf_counter()
        answer = await client.get(path(size), params={"recent_messages_limit": 20})
        took = time.perf_counter() - began
        if answer.headers["cache-status"] == "memory-cache; hit":
            seen.append(took)
        assert len(answer.json()["messages"]) == 20, "a wrong answer"
    return seen


async def run(rounds: int) -> dict[str, object]:
    """Let both sizes take turns; return medians in milliseconds and their ratio."""
    seen: dict[str, dict[int, list[float]]] = {name: {s: [] for s in SIZES} for name in TARGETS}
    words = ("-m", "memory_cache_server", "serve", "--port", "0", "--redis-url")
    async with valkey() as url:
        async with open_cache(url) as cache:
            for size in SIZES:
                chat = cache.session(f"flat-{size}")
                for at in range(0, size, 100):
                    await chat.append(
                        [{"role": "user", "content": f"{at + i}"} for i in range(100)]
                    )
        async with process(*words, url) as (_, base), httpx.AsyncClient(base_url=base) as client:
            for _ in range(rounds):
                for size in SIZES:
                    seen["append"][size].extend(await appends(client, size))
                    seen["hot_get"][size].extend(await reads(client, size))
    found: dict[str, object] = {}
    for name, by_size in seen.items():
        short, long = (statistics.median(by_size[size]) * 1e3 for size in SIZES)
        found[name] = {"ms": [round(short, 3), round(long, 3)], "ratio": round(long / short, 3)}
    return found


def main() -> int:
    """Run, print, and say by the exit code whether the targets were met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    found = asyncio.run(run(parser.parse_args().rounds))
    print(json.dumps(found, indent=2))
    met = all(
        json.loads(json.dumps(found))[name]["ratio"] <= most for name, most in TARGETS.items()
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
