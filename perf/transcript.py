"""
Whole-transcript GET of 10,000 messages (3.7 MB), and a cold one through the library.

    python -m perf.transcript [--rounds 15]

Over HTTP, its blocks in the near cache, against a raw ASGI application that sends the same bytes
from memory. Through the library, with nothing held, against one plain HMGET of the same blocks.
Answers are checked. Exit code 1: over a target.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis

from memory_cache import CacheConfig, ContractMessage, open_cache
from perf.servers import memory_cache, process, valkey

MESSAGES = 10_000
TARGETS = {"near": 2.0, "cold": 1.5}
PATH = "/v1/working-memory/long"


def messages() -> list[ContractMessage]:
    """A transcript as a client of the contract writes it."""
    return [
        ContractMessage(
            role="user" if seq % 2 else "assistant",
            content=f"{seq:09d} " + "x" * 210,
            id=f"01M7XQZ25B34HPQDA4{seq:08d}",
            created_at="2026-01-01T00:00:00.123456Z",
        )
        for seq in range(MESSAGES)
    ]


async def near(url: str, rounds: int) -> dict[str, float]:
    """Return medians in milliseconds over HTTP, both sides in turn."""
    async with contextlib.AsyncExitStack() as stack:
        _, base = await stack.enter_async_context(memory_cache(url))
        ours = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=30))
        answer = await ours.get(PATH)
        assert len(answer.json()["messages"]) == MESSAGES, "a wrong answer"
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = Path(folder) / "answer.json"
        headers = [(name, value) for name, value in answer.headers.items() if name != "date"]
        file.write_text(json.dumps({"headers": headers, "body": answer.text}))
        _, port = await stack.enter_async_context(process("-m", "perf.noop", str(file)))
        there = f"http://127.0.0.1:{port}"
        floor = await stack.enter_async_context(httpx.AsyncClient(base_url=there, timeout=30))
        seen: dict[str, list[float]] = {"ours": [], "from memory": []}
        for _ in range(rounds):
            for name, client in (("ours", ours), ("from memory", floor)):
                began = time.perf_counter()
                got = await client.get(PATH)
                seen[name].append(time.perf_counter() - began)
                assert got.content == answer.content, "a wrong answer"
        return {name: statistics.median(times) * 1e3 for name, times in seen.items()}


async def cold(url: str, rounds: int) -> dict[str, float]:
    """Return medians in milliseconds through the library, with no near cache."""
    admin = Redis.from_url(url, protocol=2)
    names = ["h", "f", *(f"{kind}{n}" for n in range(MESSAGES // 64) for kind in "bt")]
    seen: dict[str, list[float]] = {"cold": [], "HMGET": []}
    async with open_cache(url, config=CacheConfig(near_cache_bytes=0)) as cache:
        for _ in range(rounds):
            began = time.perf_counter()
            page = await cache.session("long").transcript()
            size = len(page.view_json)
            seen["cold"].append(time.perf_counter() - began)
            began = time.perf_counter()
            values = await admin.hmget("mc:{//long}", names)
            seen["HMGET"].append(time.perf_counter() - began)
            assert size > 3_000_000
            assert all(values), "a wrong answer"
    await admin.aclose()
    return {name: statistics.median(times) * 1e3 for name, times in seen.items()}


async def run(rounds: int) -> dict[str, Any]:
    """Measure both."""
    async with valkey() as url:
        async with open_cache(url) as cache:
            await cache.session("long").put(messages(), {})
        hot, first = await near(url, rounds), await cold(url, rounds)
    return {
        "milliseconds": {name: round(value, 2) for name, value in (hot | first).items()},
        "near": round(hot["ours"] / hot["from memory"], 2),
        "cold": round(first["cold"] / first["HMGET"], 2),
    }


def main() -> int:
    """Run, print, and say by the exit code whether the targets were met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    found = asyncio.run(run(parser.parse_args().rounds))
    print(json.dumps(found, indent=2))
    return int(any(found[kind] > most for kind, most in TARGETS.items()))


if __name__ == "__main__":
    sys.exit(main())
