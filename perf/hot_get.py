"""
Hot GETs of the last 20 over HTTP, against a raw ASGI no-op that sends the same headers and bytes.

    python -m perf.hot_get [--rounds 7] [--requests 20000]

A thousand sessions in turn, by eight connections, each of which asks when it was answered; both
servers run the same uvicorn with one worker, and take turns. Compared are requests a second, and
CPU time a request. Every answer is checked. Exit code 1: below the target.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import httpx

from memory_cache import open_cache
from perf.load import drive
from perf.servers import memory_cache, process, valkey

SESSIONS = 1_000
CONNECTIONS = 8
TARGET = 0.85
HOST = "127.0.0.1"


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its living children."""
    total = 0.0
    tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, tasks)):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def target(number: int) -> str:
    """Return the path and query of a session."""
    return f"/v1/working-memory/chat-{number}?namespace=acme&recent_messages_limit=20"


async def fill(url: str) -> None:
    """Make the sessions, each with its own messages."""
    async with open_cache(url) as cache:
        for number in range(SESSIONS):
            await cache.session(f"chat-{number}", namespace="acme").append(
                [
                    {"role": "user", "content": f"{number}/{seq} " + "x" * (100 + seq * 8)}
                    for seq in range(30)
                ]
            )


async def learn(base: str) -> tuple[list[bytes], dict[str, object]]:
    """Heat every session, and return the body of each and one whole answer."""
    bodies = []
    async with httpx.AsyncClient(base_url=base) as client:
        for number in range(SESSIONS):
            for _ in range(4):
                answer = await client.get(target(number))
            messages = answer.json()["messages"]
            assert [m["content"].split()[0] for m in messages] == [
                f"{number}/{seq}" for seq in range(10, 30)
            ], "a wrong answer"
            assert answer.headers["cache-status"] == "memory-cache; hit", "not hot"
            bodies.append(answer.content)
    headers = [(name, value) for name, value in answer.headers.items() if name != "date"]
    return bodies, {"headers": headers, "body": answer.text}


async def run(rounds: int, count: int) -> dict[str, object]:
    """Let both take turns; return the medians."""
    per = count // CONNECTIONS
    order = [[(number * 37 + at) % SESSIONS for at in range(per)] for number in range(CONNECTIONS)]
    wire = [f"GET {target(n)} HTTP/1.1\r\nhost: x\r\n\r\n".encode() for n in range(SESSIONS)]
    requests = [[wire[n] for n in numbers] for numbers in order]
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(valkey())
        await fill(url)
        ours, base = await stack.enter_async_context(memory_cache(url))
        bodies, answer = await learn(base)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = Path(folder) / "answer.json"
        file.write_text(json.dumps(answer))
        floor, port = await stack.enter_async_context(process("-m", "perf.noop", str(file)))
        same = str(answer["body"]).encode()

        def check_ours(connection: int, at: int, got: bytes) -> None:
            assert got.endswith(bodies[order[connection][at]]), "a wrong answer"

        def check_floor(_: int, __: int, got: bytes) -> None:
            assert got.endswith(same), "a wrong answer"

        sides = {
            "memory-cache": (ours, int(base.rsplit(":", 1)[1]), check_ours),
            "no-op": (floor, int(port), check_floor),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        costs: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, (pid, number, check) in sides.items():
                before = cpu_seconds(pid)
                rates[name].append(await drive(HOST, number, requests, check))
                costs[name].append((cpu_seconds(pid) - before) / (per * CONNECTIONS) * 1e6)
    ratio = statistics.median(
        a / b for a, b in zip(rates["memory-cache"], rates["no-op"], strict=True)
    )
    return {
        "requests_per_second": {n: round(statistics.median(r)) for n, r in rates.items()},
        "cpu_us_per_request": {n: round(statistics.median(c), 1) for n, c in costs.items()},
        "throughput_ratio": round(ratio, 3),
        "target": TARGET,
    }


def main() -> int:
    """Run, print, and say by the exit code whether the target was met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=20_000, help="per round and side")
    options = parser.parse_args()
    found = asyncio.run(run(options.rounds, options.requests))
    print(json.dumps(found, indent=2))
    ratio = found["throughput_ratio"]
    assert isinstance(ratio, float), "a number"
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
