"""
Live tails: 1,000 followers of 100 sessions, 500 messages a second, a worker killed in the middle.

Followers read server-sent events from two workers of our server, as browsers do: cut off, they
come back after the time that the server hints at, with the id of the last event. This process
appends by the library, as another worker would. Measured is the time from before an append to
when a follower has read it; of all of them, and of those before the worker is killed.
"""

import asyncio
import os
import re
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from memory_cache import SessionCache, open_cache
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Verdict
from perf.servers import memory_cache, valkey

WORKERS = 2
CONNECT_AT_ONCE = 25
WAIT_SECONDS = 30.0
LONGEST_MILLISECONDS = 50.0
TEXT = "x" * 280

_BLOCK = re.compile(rb"id: (\S+)\nevent: (\w+)\ndata: (.*)\n\n")
_MESSAGE = re.compile(rb'\{"seq":(\d+),"message":\{"at":([0-9.]+),')
_RETRY = re.compile(rb"retry: (\d+)\n\n")


class Follower(asyncio.Protocol):
    """One client: what it was told, and when."""

    def __init__(
        self, address: tuple[str, int], session: str, seen: list[tuple[float, float]]
    ) -> None:
        """Add to ``seen`` when each message was appended, and how long it took to come."""
        self.next = 0
        self.wrong: list[str] = []
        self.connections = 0
        self.following = asyncio.Event()
        self._address = address
        self._session = session
        self._seen = seen
        self._last_id = b""
        self._retry_seconds = 0.0
        self._text = b""
        self._transport: asyncio.Transport | None = None
        self._closed = False

    async def connect(self) -> None:
        """Connect, for the first time or again."""
        if not self._closed:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: self, *self._address)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for what comes after the last event."""
        # Not isinstance: the transports of uvloop are like asyncio's, and no children of them.
        self._transport = cast("asyncio.Transport", transport)
        self._text = b""
        self.connections += 1
        last = b"Last-Event-ID: %b\r\n" % self._last_id if self._last_id else b""
        path = f"/v1/working-memory/{self._session}/events".encode()
        self._transport.write(b"GET %b HTTP/1.1\r\nHost: perf\r\n%b\r\n" % (path, last))

    def data_received(self, data: bytes) -> None:
        """Take in what has come whole."""
        now = time.monotonic()
        self._text += data
        if hint := _RETRY.search(self._text):
            self._retry_seconds = int(hint[1]) / 1000
        end = 0
        for block in _BLOCK.finditer(self._text):
            end = block.end()
            self._last_id = block[1]
            if message := _MESSAGE.match(block[3]):
                self._told(int(message[1]), float(message[2]), now)
            elif block[2] == b"following":
                self.following.set()
            else:
                self.wrong.append(block[0].decode())
        self._text = self._text[end:]

    def connection_lost(self, _: Exception | None) -> None:
        """Come back after a while."""
        loop = asyncio.get_running_loop()
        loop.call_later(self._retry_seconds, lambda: loop.create_task(self.connect()))

    def close(self) -> None:
        """Go for good."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def _told(self, seq: int, at: float, now: float) -> None:
        if seq != self.next:
            self.wrong.append(f"message {seq}, not {self.next}")
        self.next = seq + 1
        self._seen.append((at, now - at))


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Measure; ``folder`` stays empty."""
    del folder
    count, sessions, rate, seconds = (100, 10, 100, 4) if quick else (1000, 100, 500, 40)
    progress = Progress("followers", 3)
    try:
        async with (
            valkey() as url,
            memory_cache(url, WORKERS) as (pid, address),
            open_cache(url) as cache,
        ):
            return await _measure(cache, pid, address, (count, sessions, rate, seconds), progress)
    finally:
        progress.close()


async def _measure(
    cache: SessionCache,
    pid: int,
    address: str,
    size: tuple[int, int, int, int],
    progress: Progress,
) -> Outcome:
    count, sessions, rate, seconds = size
    where = urlsplit(address)
    assert where.hostname is not None
    assert where.port is not None
    seen: list[tuple[float, float]] = []
    followers = [
        Follower((where.hostname, where.port), f"s{at % sessions}", seen) for at in range(count)
    ]
    workers = _children(pid)
    before = sum(map(_resident, workers))
    for at in range(0, count, CONNECT_AT_ONCE):
        some = followers[at : at + CONNECT_AT_ONCE]
        await asyncio.gather(*(follower.connect() for follower in some))
        await asyncio.gather(*(follower.following.wait() for follower in some))
    each = (sum(map(_resident, workers)) - before) / count
    progress.step("all follow")
    killed_at = await _append(
        cache, sessions, rate, seconds, lambda: os.kill(workers[0], signal.SIGKILL)
    )
    progress.step("all appended")
    total = rate * seconds // sessions
    async with asyncio.timeout(WAIT_SECONDS):
        while any(follower.next < total for follower in followers):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for follower in followers:
        follower.close()
    wrong = [text for follower in followers for text in follower.wrong]
    stored = [(await cache.session(f"s{at}").recent(1)).next for at in range(sessions)]
    if sum(stored) != rate * seconds:
        wrong.append(f"{sum(stored)} messages are stored, not {rate * seconds}")
    data: dict[str, Any] = {"size": size, "wrong": wrong[:20]}
    again = sum(follower.connections for follower in followers) - count
    steady = [taken for at, taken in seen if at < killed_at - 1]
    everything = [taken for _, taken in seen]
    verdicts = [
        Verdict("messages missing, doubled or out of order", float(len(wrong)), at_most=0),
        Verdict(
            f"p99 of {len(seen)} deliveries, `kill -9` of a worker within, ms",
            _percentile(everything, 99),
            at_most=LONGEST_MILLISECONDS,
        ),
        Verdict("p99 before it, ms", _percentile(steady, 99), at_most=LONGEST_MILLISECONDS),
        Verdict("p50, ms", _percentile(everything, 50)),
        Verdict("the longest, ms", max(everything) * 1000),
        Verdict("followers that had to come back", float(again)),
        Verdict("resident KiB of a worker per follower", each / 1024),
    ]
    return Outcome("Followers", verdicts, data)


async def _append(
    cache: SessionCache, sessions: int, rate: int, seconds: int, kill: Callable[[], None]
) -> float:
    """Append to the sessions in turn, at a rate; return when the worker was killed."""
    chats = [cache.session(f"s{at}") for at in range(sessions)]
    began, killed_at = time.monotonic(), 0.0

    async def one(at: int) -> None:
        now = time.monotonic()
        await chats[at % sessions].append({"at": now, "role": "user", "content": TEXT})

    async with asyncio.TaskGroup() as group:
        for at in range(rate * seconds):
            await asyncio.sleep(max(0.0, began + at / rate - time.monotonic()))
            group.create_task(one(at))
            if at == rate * seconds // 2:
                kill()
                killed_at = time.monotonic()
    return killed_at


def _percentile(seconds: Sequence[float], percent: int) -> float:
    """Return a percentile, in milliseconds."""
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1000


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _resident(pid: int) -> int:
    """Return the bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    import sys

    from perf.lab.verdicts import table

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(Path(), quick="--quick" in sys.argv))
    print(table(found.verdicts), *found.data["wrong"], sep="\n")
    sys.exit(int(found.short))
