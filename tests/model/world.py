"""Three workers on one server, what they do at the same time, and what must hold of it."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from memory_cache import (
    BOUNDED,
    NEWEST,
    Change,
    Session,
    SessionKey,
    StoreError,
    TranscriptEditedError,
    Version,
    VersionLostError,
    VersionMismatchError,
    at_least,
)
from memory_cache.testing import Gate, ManualClock, ManualLoop
from model.rig import (
    CONFIG,
    T_SECONDS,
    Rig,
    check_page,
    check_quiet,
    check_worker,
    message,
    turns,
)

T_MICROSECONDS = int(T_SECONDS * 1_000_000)
SESSIONS = ("a", "b")
CONFIGS = (
    replace(CONFIG, ring_messages=4),
    replace(CONFIG, near_cache_bytes=6000),
    replace(CONFIG, delta_bytes=150),
)


class World:
    """
    Runs what a test tells the workers to do, and checks every answer.

    `strict`: the bus keeps order and loses nothing, as TCP does. If not, only what does not
    depend on that is checked.
    """

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.clock = ManualClock()
        self._runner = asyncio.Runner(loop_factory=lambda: ManualLoop(self.clock))
        self._rig = Rig(self.clock)
        self.server = self._rig.server
        self.workers = [self.run(self._rig.worker(config)) for config in CONFIGS]
        self.versions: list[Version] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._gates: list[Gate] = []
        self._written: defaultdict[tuple[int, SessionKey], int] = defaultdict(int)
        self._number = 0

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401  # whatever it returns
        """Run this, and whatever else is under way meanwhile."""
        return self._runner.run(main)

    # What the workers do

    def write(self, worker: int, name: str, kind: str, count: int, ttl: int | None) -> None:
        """Begin a change."""
        session = self.workers[worker].cache.session(name)
        self._begin(self._write(worker, session, kind, count, ttl))

    def read(self, worker: int, name: str, kind: str, count: int) -> None:
        """Begin a read."""
        session = self.workers[worker].cache.session(name)
        self._begin(self._read(worker, session, kind, count))

    def _begin(self, doing: Coroutine[Any, Any, None]) -> None:
        async def begin() -> None:
            self._tasks.add(asyncio.create_task(doing))

        self.run(begin())

    async def _write(
        self, worker: int, session: Session, kind: str, count: int, ttl: int | None
    ) -> None:
        at = len(self.server.history(session.key))
        with contextlib.suppress(StoreError, VersionMismatchError):
            change = await self._change(session, kind, count, ttl)
            self._acknowledged(worker, session.key, change, at)

    async def _change(
        self, session: Session, kind: str, count: int, ttl: int | None
    ) -> Change | None:
        sent = []
        for _ in range(count):
            self._number += 1
            sent.append(message(self._number))
        if kind == "append":
            return await session.append(sent, ttl_seconds=ttl)
        if kind == "replace":
            return await session.replace(sent, ttl_seconds=ttl)
        if kind == "fields":
            return await session.set_fields({"context": str(self._number)}, ttl_seconds=ttl)
        if kind == "delete":
            return await session.delete()
        await session.pop()
        return None

    def _acknowledged(self, worker: int, key: SessionKey, change: Change | None, at: int) -> None:
        """Note from which moment on this worker must see the session."""
        moments = self.server.history(key)
        for index in range(at, len(moments)):
            record = moments[index].record
            version = record and record.header.version
            if change is not None and version is not None and version == change.version:
                self._written[worker, key] = max(self._written[worker, key], index)
                self.versions.append(version)
                return  # it may be met again, where a failover took back what came after it

    async def _read(self, worker: int, session: Session, kind: str, count: int) -> None:
        key, since = session.key, self.clock.wall() - T_MICROSECONDS
        written, newest = self._written[worker, key], len(self.server.history(key)) - 1
        if not self.strict:
            since, newest = 0, written
        try:
            if kind == "newest":
                page = await session.recent(count, consistency=NEWEST)
                check_page(page, self.server.history(key), from_index=newest, from_time=since)
            elif kind == "transcript":
                page = await session.transcript()
                assert page.start == page.first
                assert page.end == page.next
                check_page(page, self.server.history(key), from_index=newest)
            else:
                page = await session.recent(count, consistency=BOUNDED)
                assert page.end == page.next
                check_page(page, self.server.history(key), from_index=written, from_time=since)
        except (StoreError, TranscriptEditedError):
            pass

    def read_at_least(self, worker: int, name: str, version: Version) -> None:
        """Begin a read of this version or a later one."""
        session = self.workers[worker].cache.session(name)
        self._begin(self._read_at_least(session, version))

    async def _read_at_least(self, session: Session, version: Version) -> None:
        at = len(self.server.history(session.key)) - 1
        try:
            page = await session.recent(3, consistency=at_least(version))
        except StoreError:
            return
        except VersionLostError:
            later = self.server.history(session.key)[at:]
            records = [moment.record for moment in later]
            assert not all(one and one.header.holds(version) for one in records), "it is there"
            return
        assert page.header is None or page.header.holds(version), "older than asked for"
        check_page(page, self.server.history(session.key))

    def peek(self, worker: int, name: str, count: int) -> None:
        """Take what the near cache answers at this moment."""
        session = self.workers[worker].cache.session(name)
        page = session.peek(count)
        if page is None:
            return
        key = session.key
        since = self.clock.wall() - T_MICROSECONDS if self.strict else 0
        written = self._written[worker, key]
        check_page(page, self.server.history(key), from_index=written, from_time=since)

    # What happens to them

    def park(self, worker: int, point: str) -> None:
        """Stop this worker's next call at a point, until `unpark`."""

        async def close() -> None:
            self._gates.append(self.workers[worker].gates.close(point))

        self.run(close())

    def unpark(self, which: int, error: StoreError | None) -> None:
        """Let a call that was stopped go on, or fail."""
        if self._gates:
            self._gates.pop(which % len(self._gates)).open(error)

    def disturb(self, worker: int, what: str) -> None:
        """Let something happen to what this worker hears."""
        bus = self.workers[worker].bus
        faults: dict[str, Callable[[], object]] = {
            "cut": bus.cut,
            "hold": bus.hold,
            "deliver": bus.deliver,
            "double": bus.double_next,
            "blackhole": bus.blackhole,
            "lose": bus.lose_next,
            "swap": bus.swap_next,
        }
        faults[what]()

    def step(self, count: int) -> None:
        """Let some turns of the loop pass, and check what came of it."""
        self.run(turns(count))
        self.check()

    def sleep(self, seconds: float) -> None:
        """Let time pass, with its timers."""
        self.run(asyncio.sleep(seconds))
        self.check()

    def check(self) -> None:
        """Assert what holds at every moment."""
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()
        for worker in self.workers:
            check_worker(worker, self.server)
            if self.strict and worker.bus.caught_up:
                check_quiet(worker, self.server)

    # The end

    def settle(self) -> None:
        """Undo every fault, let everything come to rest, and assert what holds then."""
        for worker in self.workers:
            worker.gates.clear()
            worker.bus.heal()
        while self._gates:
            self._gates.pop().open()
        self.sleep(3 * T_SECONDS)
        assert not self._tasks, "something never ended"
        self.run(self._reread())
        self.check()
        assert all(worker.bus.caught_up for worker in self.workers)

    async def _reread(self) -> None:
        for name in SESSIONS:
            if not self.strict:
                # What was lost is noticed by what follows it.
                await self.workers[0].cache.session(name).append(message(0))
                await turns()
            for worker in self.workers:
                session = worker.cache.session(name)
                for _ in range(3):
                    page = await session.recent(2)
                    await turns()
                last = len(self.server.history(session.key)) - 1
                check_page(page, self.server.history(session.key), from_index=last)

    def close(self) -> None:
        """End everything."""
        self.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._rig.aclose()


def failure(*, unknown: bool) -> StoreError:
    """The error of a call that may have been carried out, or cannot have been."""
    return StoreError("made up", applied="unknown" if unknown else "no")
