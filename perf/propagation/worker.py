"""
Worker processes: each opens a cache of its own, and obeys.

This file is both ends. The measurement's end is ``worker``; run as a module it is the process: it
reads one JSON command a line and answers one JSON value a line. Times are of CLOCK_MONOTONIC, which
all processes of a machine share.
"""

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis

from memory_cache import CacheConfig, MemoryCacheError, SessionCache, open_cache
from perf.servers import child

SESSION = "chat"
LAST = 20
PAUSE_SECONDS = 0.001
WAIT_SECONDS = 20
_LINE_BYTES = 64 * 1024 * 1024


class Worker:
    """The measurement's end of one process; one command at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Speak to a process that is up, or soon will be."""
        self._process = process

    async def ask(self, do: str, **arguments: object) -> Any:  # noqa: ANN401  # JSON
        """
        Return what a command answered; cancelled, the process is of no more use.

        Raises:
            RuntimeError: the process has ended: the command failed.
        """
        assert self._process.stdin is not None, "a pipe"
        assert self._process.stdout is not None, "a pipe"
        self._process.stdin.write(json.dumps([do, arguments]).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended at {do}")
        return json.loads(line)


@contextlib.asynccontextmanager
async def worker(url: str, staleness_seconds: float) -> AsyncIterator[Worker]:
    """Give a process with a cache of its own; it has ended afterwards."""
    words = ("-m", "perf.propagation.worker", url, str(staleness_seconds))
    pipe = asyncio.subprocess.PIPE
    async with child(sys.executable, *words, stdin=pipe, line_bytes=_LINE_BYTES) as running:
        yield Worker(running)


def message(seq: int) -> dict[str, str]:
    """Return the message at a seq, 300 characters of JSON or so."""
    return {"role": "user", "content": f"{seq:09d} {'x' * 250}"}


class _Obeying:
    """The process's end: each command is a method."""

    def __init__(self, cache: SessionCache, bare: Redis) -> None:
        self._cache = cache
        self._chat = cache.session(SESSION)
        self._bare = bare
        self._reading: asyncio.Task[None] | None = None
        self._reads: list[tuple[float, int]] = []
        self._refused = 0

    async def append(self, first: int, count: int) -> list[tuple[float, float]]:
        """Append the messages of so many seqs; when each began and was acknowledged."""
        times = []
        for seq in range(first, first + count):
            began = time.monotonic()
            change = await self._chat.append(message(seq))
            times.append((began, time.monotonic()))
            assert change.start == seq, "somebody else wrote"
        return times

    async def append_and_ping(self, first: int, count: int) -> dict[str, list[Any]]:
        """Append, and make a bare round trip after each append."""
        writes, pings = [], []
        for seq in range(first, first + count):
            writes += await self.append(seq, 1)
            await asyncio.sleep(PAUSE_SECONDS)
            began = time.monotonic()
            await self._bare.ping()
            pings.append(time.monotonic() - began)
        return {"writes": writes, "pings": pings}

    async def warm(self) -> None:
        """Read until the near cache answers, whatever the store does."""
        async with asyncio.timeout(WAIT_SECONDS):
            while self._chat.peek(LAST) is None:
                with contextlib.suppress(MemoryCacheError):
                    await self._chat.recent(LAST)
                await asyncio.sleep(0)

    async def watch(self, first: int, count: int) -> list[float]:
        """Look at the ring again and again; when the message of each seq was first seen there."""
        seen: list[float] = []
        async with asyncio.timeout(WAIT_SECONDS + count):
            while len(seen) < count:
                page = self._chat.peek(1)
                if page is None:
                    await self.warm()
                elif page.next > first + len(seen):
                    now = time.monotonic()
                    seen.extend([now] * (page.next - first - len(seen)))
                await asyncio.sleep(0)
        return seen

    async def keep_reading(self) -> None:
        """Read ``bounded`` again and again from now on."""
        self._reading = asyncio.create_task(self._keep_reading())

    async def reads(self) -> dict[str, Any]:
        """When each read since the last time began, and how far what it answered went."""
        assert self._reading is not None, "reading has begun"
        if self._reading.done():
            self._reading.result()
        reads, self._reads = self._reads, []
        refused, self._refused = self._refused, 0
        return {"reads": reads, "refused": refused}

    async def subscribed(self, more_than: int) -> None:
        """Wait until more subscriptions than so many were made, and the near cache answers."""
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.subscriptions() <= more_than:  # noqa: ASYNC110  # nobody signals it
                await asyncio.sleep(PAUSE_SECONDS)
        await self.warm()

    async def subscriptions(self) -> int:
        """How many subscriptions were made so far."""
        return self._cache.statistics().generations

    async def _keep_reading(self) -> None:
        while True:
            began = time.monotonic()
            try:
                page = await self._chat.recent(LAST)
            except MemoryCacheError:
                self._refused += 1
            else:
                texts = [one["content"] for one in page.messages]
                wanted = [message(seq)["content"] for seq in range(page.start, page.next)]
                assert texts == wanted, "a wrong transcript"
                assert page.start == max(0, page.next - LAST), "not the last ones"
                self._reads.append((began, page.next))
            await asyncio.sleep(PAUSE_SECONDS)


async def _main(url: str, staleness_seconds: float) -> None:
    logging.getLogger("memory_cache").setLevel(logging.ERROR)  # its warnings are our doing
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    config = CacheConfig(staleness_seconds=staleness_seconds)
    async with open_cache(url, config=config) as cache, Redis.from_url(url, protocol=2) as bare:
        obeying = _Obeying(cache, bare)
        while line := await lines.readline():
            do, arguments = json.loads(line)
            print(json.dumps(await getattr(obeying, do)(**arguments)), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(sys.argv[1], float(sys.argv[2])))
