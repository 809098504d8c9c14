"""
Live tails: 1,000 followers of 100 sessions, 500 messages a second, a worker killed in the middle.

Followers read server-sent events from two workers of our server, as browsers do: cut off, they
come back after the time that the server hints at, with the id of the last event. A process
appends by the library, as another worker would. Measured is the time from before an append to
when a follower has read it. The same followers are then cut off from a server that does nothing
but send: the floor of what coming back costs on this machine.
"""

import asyncio
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from memory_cache import open_cache
from perf.followers.judge import Played, compared, draw, judged
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture
from perf.servers import child, memory_cache, valkey

WORKERS = 2
LONGEST_LINE = 16 * 1024 * 1024
FLOOR_SECONDS = 10
CONNECT_SECONDS = 6
WAIT_SECONDS = 60.0


class Size(NamedTuple):
    """How much is played."""

    followers: int
    sessions: int
    rate: int
    seconds: int

    @property
    def each(self) -> int:
        """Messages of one session."""
        return self.rate * self.seconds // self.sessions


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Measure ours, then the floor."""
    size = Size(100, 10, 100, 4) if quick else Size(1000, 100, 500, 40)
    progress = Progress("followers", 2)
    try:
        began, busy, own = time.monotonic(), _busy_seconds(), _own_seconds()
        ours, resident = await _ours(size)
        others = _busy_seconds() - busy - (_own_seconds() - own)
        others /= time.monotonic() - began
        progress.step("followed")
        floor = await _floor(size._replace(seconds=4 if quick else FLOOR_SECONDS))
        progress.step("the floor")
    finally:
        progress.close()
    outcome = Outcome("Followers", judged(ours, floor, resident / size.followers / 1024))
    outcome.data = {"size": size, "wrong": (ours.wrong + floor.wrong)[:20]}
    draw(folder / "followers.png", ours, floor)
    outcome.pictures = [Picture("followers.png", "How long a message took, around the kill")]
    outcome.notes = [
        f"Other programs, the store too, took {others:.2f} of {os.cpu_count()} processors.",
        "The whole run has 20 s before the kill and 20 s after it; the wave has a p99 of its own.",
        *outcome.data["wrong"],
    ]
    return outcome


async def _ours(size: Size) -> tuple[Played, int]:
    """Play it to our server; and the bytes that all followers together cost its workers."""
    async with valkey() as url, memory_cache(url, WORKERS, spare_workers=1) as (pid, address):
        workers = _children(pid)
        before = sum(map(_resident, workers))
        grown: list[int] = []

        async def write() -> float:
            grown.append(sum(map(_resident, workers)) - before)
            words = ("-m", "perf.followers.writer", url, *map(str, size[1:]))
            async with child(sys.executable, *words, line_bytes=LONGEST_LINE) as writer:
                assert writer.stdout is not None, "a pipe"
                await writer.stdout.readline()
                os.kill(workers[0], signal.SIGKILL)
                killed_at = time.monotonic()
                late.extend(json.loads(await writer.stdout.readline() or b"[]"))
            return killed_at

        late: list[float] = []
        played = await _played(address, size, write)
        played.writer_late = late
        async with open_cache(url) as cache:
            stored = [
                (await cache.session(f"s{at}").transcript()).messages for at in range(size.sessions)
            ]
        played.wrong += compared(played, [[one["n"] for one in all_] for all_ in stored], size.each)
        return played, grown[0]


async def _floor(size: Size) -> Played:
    """Play it to a server that only sends."""
    begin = time.monotonic() + CONNECT_SECONDS
    words = ("-m", "perf.followers.floor", *map(str, size[1:]), str(begin))
    async with child(sys.executable, *words) as server:
        assert server.stdout is not None, "a pipe"
        port, *workers = json.loads(await server.stdout.readline())

        async def write() -> float:
            if time.monotonic() > begin:
                raise RuntimeError("the followers of the floor connected too slowly")
            await asyncio.sleep(begin + size.seconds / 2 - time.monotonic())
            os.kill(workers[0], signal.SIGKILL)
            return time.monotonic()

        played = await _played(f"http://127.0.0.1:{port}", size, write)
    played.wrong += compared(played, [list(range(size.each))] * size.sessions, size.each)
    return played


async def _played(address: str, size: Size, write: Callable[[], Awaitable[float]]) -> Played:
    """Let clients follow while ``write`` writes; it returns when it killed a worker."""
    where = urlsplit(address)
    with tempfile.TemporaryDirectory(prefix="memory-cache-perf-") as folder:
        out = Path(folder, "told.json")
        numbers = map(str, (where.port, size.followers, size.sessions, size.each))
        words = ("-m", "perf.followers.client", str(where.hostname), *numbers, str(out))
        async with child(sys.executable, *words) as clients:
            assert clients.stdout is not None, "a pipe"
            if await clients.stdout.readline() != b"following\n":
                raise RuntimeError("the followers ended before they followed")
            killed_at = await write()
            async with asyncio.timeout(WAIT_SECONDS):
                if await clients.wait():
                    raise RuntimeError("the followers failed")
        return Played.of(await asyncio.to_thread(out.read_bytes), killed_at)


def _busy_seconds() -> float:
    """Return the processor time that all programs of the machine have taken."""
    user, nice, system, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Return the processor time that this process and those it has started and ended have taken."""
    mine, theirs = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _resident(pid: int) -> int:
    """Return the bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
