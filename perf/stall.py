"""
Hot reads of other sessions while PUTs of 10,000 messages (3.7 MB) stream in.

    python -m perf.stall [--quick] [--echo] [--json FILE]

One worker. A reader asks for the last 20 of a thousand sessions in turn, 500 times a second,
whatever the answers take: a latency counts from the moment its request was due. Beside it a client
in a process of its own PUTs whole transcripts, the next as soon as the last is answered: `grown`,
one message more each time; `edited`, an early message is another one; `replaced`, all are. Each is
warmed up, and its bodies are made, before reads are counted. The floor is an application that only
drains the same bodies at the same rate, and answers reads with nothing: what it shows is the
machine's doing. With `--echo` each PUT has the transcript sent back. All take turns within a round;
a p99 is the median of the rounds'. Answers are checked. Exit code 1: over the target.
"""

import argparse
import asyncio
import contextlib
import json
import math
import select
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import orjson

from perf.giant import KINDS, WAIT_SECONDS, Order, Sent, Streamer, connect, receive
from perf.hot_get import SESSIONS, fill, learn, target
from perf.put import PATH
from perf.servers import memory_cache, process, valkey

RATE = 500
CONNECTIONS = 100
TARGET = 3.0
ALONE = "alone"
MESSAGES = 10_000

Seen = dict[str, dict[str, list[float]]]
"""By server and by what streams in meanwhile: a figure of each round."""


class Rounds:
    """The same reads at both servers, with each kind of PUT beside them."""

    def __init__(self, ours: int, floor: int, bodies: list[bytes], streamer: Streamer) -> None:
        """Read from and PUT to these ports; ``bodies``: what reads are answered with."""
        self._ours = ours
        self._floor = floor
        self._bodies = bodies
        self._streamer = streamer
        kinds = (ALONE, *KINDS)
        self.seen: dict[str, Seen] = {
            name: {side: {kind: [] for kind in kinds} for side in ("ours", "floor")}
            for name in ("p50", "p99", "worst", "puts_per_second")
        }

    def run(self, seconds: float, *, echo: bool) -> None:
        """Play one round; ``seconds``: of reads per kind and server."""
        for kind in (ALONE, *KINDS):
            order = None if kind == ALONE else Order(self._ours, kind, echo)
            sent = self._play("ours", kind, order, seconds)
            if order is not None and sent is not None:
                _check(self._ours, sent)
                order = order._replace(
                    port=self._floor, floor=True, interval=sent.seconds / sent.puts
                )
            self._play("floor", kind, order, seconds)

    def _play(self, side: str, kind: str, order: Order | None, seconds: float) -> Sent | None:
        port, bodies = (
            (self._ours, self._bodies) if side == "ours" else (self._floor, [b""] * SESSIONS)
        )
        if order is not None:
            self._streamer.begin(order)
        times = sorted(reads(port, bodies, seconds))
        sent = self._streamer.end() if order is not None else None
        figures = {
            "p50": times[len(times) // 2] * 1e3,
            "p99": times[len(times) * 99 // 100] * 1e3,
            "worst": times[-1] * 1e3,
            "puts_per_second": sent.puts / sent.seconds if sent else 0.0,
        }
        for name, figure in figures.items():
            self.seen[name][side][kind].append(figure)
        return sent


def reads(port: int, bodies: list[bytes], seconds: float) -> list[float]:
    """
    Return how long after it was due each read was answered, in seconds.

    Each has a connection to itself, so that none waits for the one before it.
    """
    wire = [f"GET {target(n)} HTTP/1.1\r\nhost: x\r\n\r\n".encode() for n in range(SESSIONS)]
    seen: list[float] = []
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(connect(port)) for _ in range(CONNECTIONS)]
        asked: dict[socket.socket, tuple[float, int]] = {}
        began, at, count = time.perf_counter(), 0, int(seconds * RATE)
        while len(seen) < count:
            due = began + at / RATE if free and at < count else math.inf
            pause = max(0.0, due - time.perf_counter())
            # Of all that wait for sockets, this one alone knows times below a millisecond.
            readable, _, _ = select.select(list(asked), (), (), min(pause, WAIT_SECONDS))
            for stream in readable:
                body = receive(stream)
                since, number = asked.pop(stream)
                seen.append(time.perf_counter() - since)
                assert body == bodies[number], "a wrong answer"
                free.append(stream)
            if due <= time.perf_counter():
                stream, number = free.pop(), at * 37 % SESSIONS
                stream.sendall(wire[number])
                asked[stream] = due, number
                at += 1
    return seen


def _check(port: int, sent: Sent) -> None:
    """See that the session holds what was sent last."""
    scope = {"namespace": "n2", "user_id": "u7"}
    held = httpx.get(f"http://127.0.0.1:{port}{PATH}", params=scope, timeout=30)
    names = ("role", "content", "id", "created_at")
    there, here = (
        [[message[name] for name in names] for message in messages]
        for messages in (orjson.loads(held.content)["messages"], orjson.loads(sent.last))
    )
    assert there == here, "a wrong transcript"


async def run(
    rounds: int, size: int = MESSAGES, seconds: float = 3.0, *, echo: bool = False
) -> Any:  # noqa: ANN401  # a table
    """Let all take turns; return medians, in milliseconds, and ratios."""
    async with contextlib.AsyncExitStack() as stack:
        streamer = stack.enter_context(Streamer(size))
        url = await stack.enter_async_context(valkey())
        await fill(url)
        _, base = await stack.enter_async_context(memory_cache(url))
        bodies, _ = await learn(base)
        _, port = await stack.enter_async_context(process("-m", "perf.noop", "--drain"))
        played = Rounds(int(base.rsplit(":", 1)[1]), int(port), bodies, streamer)
        for _ in range(rounds):
            await asyncio.to_thread(played.run, seconds, echo=echo)
    return _table(played.seen, size)


def _table(seen: dict[str, Seen], size: int) -> dict[str, Any]:
    middle = {
        name: {
            side: {kind: round(statistics.median(figures), 2) for kind, figures in kinds.items()}
            for side, kinds in sides.items()
        }
        for name, sides in seen.items()
    }
    p99 = seen["p99"]

    def ratio(kind: str, side: str, to: str) -> float:
        pairs = zip(p99["ours"][kind], p99[side][to], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 2)

    return {
        "messages": size,
        "milliseconds": middle,
        "p99_to_alone": {kind: ratio(kind, "ours", ALONE) for kind in KINDS},
        "p99_to_floor": {kind: ratio(kind, "floor", kind) for kind in KINDS},
        "target": TARGET,
    }


def main() -> int:
    """Run, print, and say by the exit code whether the target was met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="whether it works, not how fast")
    parser.add_argument("--echo", action="store_true", help="PUTs ask for the transcript back")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    if options.quick:
        found = asyncio.run(run(1, 1_000, 0.4, echo=options.echo))
    else:
        found = asyncio.run(run(options.rounds, echo=options.echo))
    text = json.dumps(found, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")
    return int(max(found["p99_to_alone"].values()) > TARGET)


if __name__ == "__main__":
    sys.exit(main())
