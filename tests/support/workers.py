"""
Worker processes: each opens a cache of its own and obeys, so that tests see real ones.

This file is both ends. The test's end is `Worker`; run as a script it is the process: it reads
one JSON command a line and answers one JSON object a line. Times are of CLOCK_MONOTONIC, which all
processes of a machine share.

Example:
    async with Worker.started(url, staleness_seconds=1.0) as writer:
        acks = await writer.write("chat", count=100)
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from memory_cache import (
    BOUNDED,
    NEWEST,
    CacheConfig,
    Consistency,
    MemoryCacheError,
    Page,
    Session,
    SessionCache,
    StoreError,
    at_least,
    open_cache,
)

_LINE_BYTES = 64 * 1024 * 1024
_END_SECONDS = 10.0
_PACE_SECONDS = 0.001
_WAIT_SECONDS = 15.0


class WorkerError(Exception):
    """What a command raised in the worker: the error's `code`, and `applied`."""

    def __init__(self, code: str, applied: str, seconds: float) -> None:
        super().__init__(code, applied, seconds)
        self.code = code
        self.applied = applied
        self.seconds = seconds


class Ack(NamedTuple):
    """A write that was acknowledged: message `seq`, of text `str(seq)`, was there by `done`."""

    seq: int
    version: str
    begun: float
    done: float


class Read(NamedTuple):
    """What a read answered, or (in `error`) the code of what it raised."""

    begun: float
    done: float
    tier: str
    start: int
    next: int
    texts: list[str]
    error: str = ""


def message(seq: int) -> dict[str, object]:
    """The message that tests write at a seq."""
    return {"role": "user", "content": str(seq)}


async def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact."""
    async with asyncio.timeout(_WAIT_SECONDS):
        while not fact():  # noqa: ASYNC110  nobody signals it
            await asyncio.sleep(_PACE_SECONDS)


async def until_near(session: Session) -> None:
    """Read a session of this process until the near cache answers, whatever the store does."""
    async with asyncio.timeout(_WAIT_SECONDS):
        while session.peek(1) is None:
            try:
                await session.recent(1)
            except StoreError:
                await asyncio.sleep(_PACE_SECONDS)


class Worker:
    """The test's end of one worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._count = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, url: str, **config: object) -> AsyncIterator["Worker"]:
        """Start one; it is ready inside, and has ended after."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(Path(__file__)), url, json.dumps(config)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        worker = cls(process)
        listening = asyncio.create_task(worker._listen())
        try:
            await worker.statistics()
            yield worker
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(_END_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
                raise
            finally:
                await listening

    async def append(self, session: str, seq: int) -> Ack:
        """Append the message of this seq."""
        return Ack(*await self._ask("append", session=session, seq=seq))

    async def write(self, session: str, *, count: int, first: int = 0) -> list[Ack]:
        """Append the messages of `count` seqs, one after the other."""
        acks = await self._ask("write", session=session, first=first, count=count)
        return [Ack(*ack) for ack in acks]

    async def recent(self, session: str, count: int, consistency: str = "bounded") -> Read:
        """Read once: `bounded`, `newest`, or at least the version given."""
        return Read(*await self._ask("recent", session=session, n=count, consistency=consistency))

    async def warm(self, session: str, count: int) -> None:
        """Read until the near cache answers."""
        async with asyncio.timeout(_WAIT_SECONDS):
            while (await self.recent(session, count)).tier != "near":
                pass

    async def keep_reading(self, session: str, count: int) -> None:
        """Read `bounded` again and again from now on."""
        await self._ask("keep_reading", session=session, n=count)

    async def reads(self, session: str) -> list[Read]:
        """End what `keep_reading` began; every read it made."""
        return [Read(*read) for read in await self._ask("reads", session=session)]

    async def statistics(self) -> dict[str, Any]:
        """The cache's statistics."""
        found: dict[str, Any] = await self._ask("statistics")
        return found

    async def _ask(self, do: str, **arguments: object) -> Any:  # noqa: ANN401  # JSON
        assert self.process.stdin is not None
        self._count += 1
        future = self._answers[self._count] = asyncio.get_running_loop().create_future()
        command = {"id": self._count, "do": do, "arguments": arguments}
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        return await future

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            answer = json.loads(line)
            future = self._answers.pop(answer["id"])
            if future.done():
                continue
            if "error" in answer:
                future.set_exception(WorkerError(*answer["error"]))
            else:
                future.set_result(answer["result"])
        for future in self._answers.values():
            if not future.done():
                future.set_exception(WorkerError("ended", "unknown", 0.0))


def judge(reads: Sequence[Read], acks: Sequence[Ack], count: int, staleness: float) -> float:
    """
    Assert that no read was wrong or older than allowed; seconds by which the oldest lagged.

    `reads` asked for the last `count`; `acks` are all writes there were, in order of seq.
    """
    oldest = 0.0
    for read in reads:
        assert not read.error, read
        assert read.texts == [str(seq) for seq in range(read.start, read.next)], (
            "a wrong transcript"
        )
        assert read.start == max(0, read.next - count), "not the last ones"
        if read.next < len(acks):
            lag = read.begun - acks[read.next].done
            assert lag <= staleness, f"a read {lag:.3f} s old of {len(reads)}"
            oldest = max(oldest, lag)
        if read.next:
            assert acks[read.next - 1].begun <= read.done, "a read of the future"
    return oldest


class _Obeying:
    """The process's end: each command is a method."""

    def __init__(self, cache: SessionCache) -> None:
        self._cache = cache
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._read: dict[str, list[Read]] = {}

    async def append(self, session: str, seq: int) -> Ack:
        begun = time.monotonic()
        change = await self._cache.session(session).append(message(seq))
        assert change.start == seq, "somebody else wrote"
        return Ack(seq, str(change.version), begun, time.monotonic())

    async def write(self, session: str, first: int, count: int) -> list[Ack]:
        return [await self.append(session, seq) for seq in range(first, first + count)]

    async def recent(self, session: str, n: int, consistency: str) -> Read:
        begun = time.monotonic()
        page = await self._cache.session(session).recent(n, consistency=_consistency(consistency))
        return _read(page, begun)

    async def keep_reading(self, session: str, n: int) -> None:
        self._read[session] = []
        self._reading[session] = asyncio.create_task(self._keep_reading(session, n))

    async def reads(self, session: str) -> list[Read]:
        task = self._reading.pop(session)
        task.cancel()
        await asyncio.wait([task])
        return self._read.pop(session)

    async def statistics(self) -> dict[str, Any]:
        return asdict(self._cache.statistics())

    async def _keep_reading(self, session: str, n: int) -> None:
        while True:
            begun = time.monotonic()
            try:
                read = await self.recent(session, n, "bounded")
            except MemoryCacheError as error:
                read = Read(begun, time.monotonic(), "", 0, 0, [], error.code)
            self._read[session].append(read)
            await asyncio.sleep(_PACE_SECONDS)


def _consistency(text: str) -> Consistency:
    return {"bounded": BOUNDED, "newest": NEWEST}.get(text) or at_least(text)


def _read(page: Page, begun: float) -> Read:
    texts = [each["content"] for each in page.messages]
    return Read(begun, time.monotonic(), page.tier.value, page.start, page.next, texts)


async def _answer(obeying: _Obeying, command: dict[str, Any]) -> None:
    begun = time.monotonic()
    answer: dict[str, object] = {"id": command["id"]}
    try:
        answer["result"] = await getattr(obeying, command["do"])(**command["arguments"])
    except MemoryCacheError as error:
        answer["error"] = [error.code, error.applied, time.monotonic() - begun]
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def _main(url: str, config: dict[str, Any]) -> None:
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with open_cache(url, config=CacheConfig(**config)) as cache, asyncio.TaskGroup() as tasks:
        obeying = _Obeying(cache)
        while line := await reader.readline():
            tasks.create_task(_answer(obeying, json.loads(line)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], json.loads(sys.argv[2])))
