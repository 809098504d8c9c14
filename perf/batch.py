"""
Appends through the library, against bare redis-py.

    python -m perf.batch [--rounds 7]

One writer: an append against one bare round trip (PING), and against the floor under it: the very
script that it runs, with its very arguments, sent by redis-py and nothing else done.

25 concurrent writers, each to its own session: their appends share a connection and leave in
batches, against the same scripts sent one at a time on a pool of connections. Throughput, and
client CPU per command. Answers are checked.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis

from memory_cache import CacheConfig, SessionCache, open_cache
from perf.servers import valkey

WRITERS = 25
EACH = 80
ALONE = 500
MESSAGE = {"role": "user", "content": "x" * 280}
SCRIPT = """#!lua
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('PUBLISH', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], 'm' .. n, ARGV[1])
return n"""


async def command_of_an_append(cache: SessionCache) -> list[Any]:
    """Return what an append to a session of this name sends."""
    chat = cache.session("floor")
    await chat.append(MESSAGE)
    sent: list[list[Any]] = []
    lane = lane_of(cache)
    real = lane.call

    async def noting(*command: Any, first: bool = False) -> Any:  # noqa: ANN401  # as theirs
        sent.append(list(command))
        return await real(*command, first=first)

    lane.call = noting
    await chat.append(MESSAGE)
    lane.call = real
    return sent[0]


def lane_of(cache: SessionCache) -> Any:  # noqa: ANN401  # a private part
    """Return the connection that all callers share: its cost is what is measured."""
    return cache.session("lane")._writer.store._lane  # type: ignore[attr-defined]  # noqa: SLF001


async def alone(cache: SessionCache, bare: Redis, command: list[Any]) -> tuple[float, float, float]:
    """Return microseconds of an append, of a round trip and of the same script by redis-py."""
    chat = cache.session("alone")
    script, sha, keys, session, record, *rest = command
    marks = [time.perf_counter()]
    for _ in range(ALONE):
        await chat.append(MESSAGE)
    marks.append(time.perf_counter())
    for _ in range(ALONE):
        await bare.ping()
    marks.append(time.perf_counter())
    for at in range(ALONE):
        # Another operation each time: else it would be answered as a resend.
        name = f"{record}{marks[0]}{at}"
        reply = await bare.execute_command(script, sha, keys, session, name, *rest)  # type: ignore[no-untyped-call]  # theirs
        assert reply[0] == b"done", "a wrong answer"
    marks.append(time.perf_counter())
    took = [(end - begin) / ALONE * 1e6 for begin, end in itertools.pairwise(marks)]
    return took[0], took[1], took[2]


async def together(work: Any) -> tuple[float, float]:  # noqa: ANN401  # a function of a number
    """Return calls a second, and client CPU microseconds a call, of all writers at once."""
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work(number) for number in range(WRITERS)))
    calls = WRITERS * EACH
    return calls / (time.perf_counter() - began), (time.process_time() - cpu) / calls * 1e6


async def run(rounds: int) -> dict[str, Any]:
    """Let both sides take turns; return medians and ratios."""
    # The very command is sent again and again: it must not come late.
    config = CacheConfig(staleness_seconds=600, resend_seconds=7200)
    async with valkey() as url, open_cache(url, config=config) as cache:
        bare = Redis.from_url(url, protocol=2)
        pool = BlockingConnectionPool.from_url(url, protocol=2, max_connections=WRITERS)
        pooled = Redis(connection_pool=pool)
        sha = await bare.script_load(SCRIPT)
        lane = lane_of(cache)
        command = await command_of_an_append(cache)

        async def ours(number: int) -> None:
            chat = cache.session(f"writer-{number}")
            start = (await chat.recent(1)).next
            for at in range(EACH):
                assert (await chat.append(MESSAGE)).end == start + at + 1

        body = json.dumps(MESSAGE)

        async def batched(number: int) -> None:
            for _ in range(EACH):
                assert await lane.call("EVALSHA", sha, 1, f"plain-{number}", body)

        async def unpipelined(number: int) -> None:
            for _ in range(EACH):
                assert await pooled.evalsha(sha, 1, f"plain-{number}", body)

        seen: dict[str, list[Any]] = {"alone": [], "appends": [], "batched": [], "unpipelined": []}
        for _ in range(rounds):
            seen["alone"].append(await alone(cache, bare, command))
            for name, work in (
                ("appends", ours),
                ("batched", batched),
                ("unpipelined", unpipelined),
            ):
                seen[name].append(await together(work))
        await bare.aclose()
        await pooled.aclose()
        await pool.disconnect()

    def middle(name: str, part: int) -> float:
        return float(statistics.median(pair[part] for pair in seen[name]))

    return {
        "append_us": round(middle("alone", 0)),
        "round_trip_us": round(middle("alone", 1)),
        "same_script_by_redis_py_us": round(middle("alone", 2)),
        "append_ratio": round(statistics.median(a / b for a, b, _ in seen["alone"]), 2),
        "append_to_floor": round(statistics.median(a / c for a, _, c in seen["alone"]), 2),
        "writers": {
            name: {
                "calls_per_second": round(middle(name, 0)),
                "client_cpu_us_per_call": round(middle(name, 1), 1),
            }
            for name in ("appends", "batched", "unpipelined")
        },
        "throughput_ratio": round(middle("batched", 0) / middle("unpipelined", 0), 2),
        "cpu_ratio": round(middle("batched", 1) / middle("unpipelined", 1), 2),
    }


def main() -> int:
    """Run, print, and say by the exit code whether the targets were met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    found = asyncio.run(run(parser.parse_args().rounds))
    print(json.dumps(found, indent=2))
    met = (
        found["append_ratio"] <= 1.5
        and found["throughput_ratio"] >= 1.6
        and found["cpu_ratio"] <= 1 / 3
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
