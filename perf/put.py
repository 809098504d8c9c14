"""
PUT of a transcript that grew, 10,000 messages (3.7 MB), against a handler that only drains a body.

    python -m perf.put [--rounds 15]

Each turn adds one message, as today's clients do. `minimal` asks for a short answer
(`Prefer: return=minimal`); `echo` has the whole transcript sent back, and is compared with a
handler that drains the body and sends it back. Both servers run the same uvicorn, and take turns.
Answers are checked. Exit code 1: over a target.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx

from perf.servers import memory_cache, process, valkey

SIZES = (100, 10_000)
TARGETS = {"minimal": 1.5, "echo": 2.0}
PATH = "/v1/working-memory/grown"


class Conversation:
    """A transcript as a client of the contract keeps it, one message longer each turn."""

    def __init__(self, size: int) -> None:
        """Begin with ``size`` messages."""
        self.messages: list[dict[str, Any]] = []
        for _ in range(size):
            self.grow()

    def grow(self) -> None:
        """Add a message."""
        seq = len(self.messages)
        self.messages.append(
            {
                "role": "user" if seq % 2 else "assistant",
                "content": f"{seq:09d} " + "x" * 210,
                "id": f"01M7XQZ25B34HPQDA4{seq:08d}",
                "created_at": "2026-01-01T00:00:00.123456Z",
                "discrete_memory_extracted": "f",
            }
        )

    def body(self) -> bytes:
        """The body of a PUT, as the Python client writes it."""
        document = {
            "messages": self.messages,
            "memories": [],
            "user_id": "u7",
            "tokens": 0,
            "session_id": "grown",
            "namespace": f"n{len(self.messages) // 5000}",
            "long_term_memory_strategy": {"strategy": "discrete", "config": {}},
        }
        return json.dumps(document, separators=(",", ":")).encode()


async def timed(client: httpx.AsyncClient, body: bytes, **headers: str) -> tuple[float, bytes]:
    """Return the seconds that a PUT took, and its answer."""
    headers = {"content-type": "application/json", **headers}
    began = time.perf_counter()
    answer = await client.put(PATH, content=body, headers=headers)
    seconds = time.perf_counter() - began
    assert answer.status_code == 200, answer.text[:200]
    return seconds, answer.content


async def measure(ours: httpx.AsyncClient, floor: httpx.AsyncClient, size: int, rounds: int) -> Any:  # noqa: ANN401  # a table
    """Return medians in milliseconds and their ratios at one size."""
    talk = Conversation(size)
    for _ in range(3):
        await timed(ours, talk.body(), Prefer="return=minimal")
        talk.grow()
    seen: dict[str, list[float]] = {"minimal": [], "drain": [], "echo": [], "drain and echo": []}
    for _ in range(rounds):
        for kind, headers in (("minimal", {"Prefer": "return=minimal"}), ("echo", {})):
            talk.grow()
            body = talk.body()
            took, answer = await timed(ours, body, **headers)
            seen[kind].append(took)
            document = json.loads(answer)
            if kind == "minimal":
                assert (document["first"], document["next"]) == (0, len(talk.messages))
            else:
                ids = [message["id"] for message in document["messages"]]
                assert ids == [message["id"] for message in talk.messages]
            name = "drain" if kind == "minimal" else "drain and echo"
            seen[name].append((await timed(floor, body, **headers))[0])
    middle = {name: statistics.median(times) * 1e3 for name, times in seen.items()}
    return {
        "messages": size,
        "milliseconds": {name: round(value, 2) for name, value in middle.items()},
        "minimal": round(middle["minimal"] / middle["drain"], 2),
        "echo": round(middle["echo"] / middle["drain and echo"], 2),
    }


async def run(rounds: int, sizes: Sequence[int] = SIZES) -> list[Any]:
    """Measure every size."""
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(valkey())
        _, base = await stack.enter_async_context(memory_cache(url))
        _, port = await stack.enter_async_context(process("-m", "perf.noop", "--drain"))
        ours = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=30))
        there = f"http://127.0.0.1:{port}"
        floor = await stack.enter_async_context(httpx.AsyncClient(base_url=there, timeout=30))
        return [await measure(ours, floor, size, rounds) for size in sizes]


def main() -> int:
    """Run, print, and say by the exit code whether the targets were met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    found = asyncio.run(run(parser.parse_args().rounds))
    print(json.dumps(found, indent=2))
    return int(any(found[-1][kind] > most for kind, most in TARGETS.items()))


if __name__ == "__main__":
    sys.exit(main())
