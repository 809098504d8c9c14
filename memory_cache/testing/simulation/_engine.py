"""The engine: workers with real caches over one server, and all that is known of a run."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Final, TypeVar
from unittest import mock

import orjson

from memory_cache import CacheConfig, Page, SessionKey
from memory_cache._types import Header
from memory_cache.testing._bodies import sight
from memory_cache.testing._clock import ManualClock
from memory_cache.testing._server import InMemoryServer
from memory_cache.testing.history import Fault, History, Sighting
from memory_cache.testing.history import Final as Kept
from memory_cache.testing.simulation._loop import SeededLoop
from memory_cache.testing.simulation._oracle import Oracle
from memory_cache.testing.simulation._process import Process, Surroundings, held_back

T = TypeVar("T")

_LONGEST_CALL_SECONDS: Final = 5.0

Event = tuple[float, tuple[object, ...]]


class Engine:
    """
    Several workers in one loop, whose order, delays and identifiers come from a seed.

    The same seed and the same calls give the same run, to the last turn of the loop. What went
    wrong is in ``anomalies``; what clients saw in ``history``; what happened in ``events``.
    """

    def __init__(self, seed: int, configs: Sequence[CacheConfig]) -> None:
        """Make a worker of each config; none runs before ``start``."""
        self.random = Random(seed)  # noqa: S311  # to repeat a run
        self._identifiers = Random(f"{seed} identifiers")  # noqa: S311  # as above
        self.clock = ManualClock()
        self.loop = SeededLoop(self.clock, self.random, held_back)
        self.loop.set_exception_handler(self._crashed)
        self.history = History()
        self.events: list[Event] = []
        self.anomalies: list[str] = []
        with self._seeded():
            self.server = InMemoryServer(self.clock)
        self.around = Surroundings(self.loop, self.clock, self.random, self.server, self.trace)
        self.oracle = Oracle(self.server)
        self.processes = [
            Process(f"w{number}", config, self.around) for number, config in enumerate(configs)
        ]
        self._begun: list[asyncio.Task[object]] = []
        self._sights: dict[bytes, Sighting] = {}

    @property
    def bound(self) -> float:
        """T, in seconds: the largest of all workers'."""
        return max(process.config.staleness_seconds for process in self.processes)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run this, and whatever else is under way meanwhile."""
        with self._seeded():
            return self.loop.run_until_complete(main)

    def begin(self, call: Coroutine[Any, Any, object]) -> None:
        """Begin something that goes on while the next is chosen; what it raises is raised later."""
        self._begun.append(self.loop.create_task(call))

    def elapse(self, seconds: float) -> None:
        """Let time pass, and at the least one turn of the loop."""
        self.run(asyncio.sleep(seconds))
        ended = [task for task in self._begun if task.done()]
        self._begun = [task for task in self._begun if not task.done()]
        for task in ended:
            task.result()

    async def ended(self, patience_seconds: float) -> None:
        """Wait until all that was begun has ended."""
        if self._begun:
            await asyncio.wait(self._begun, timeout=patience_seconds)

    def trace(self, *what: object) -> None:
        """Note what happens, in words that are the same in each run of a seed."""
        self.events.append((self.clock.now(), what))

    def wrong(self, what: str) -> None:
        """Note that a promise was broken."""
        self.trace("ANOMALY", what)
        self.anomalies.append(f"{self.clock.now():.6f} {what}")

    async def start(self) -> None:
        """Start every worker."""
        for process in self.processes:
            await process.start()

    def sights(self, page: Page) -> tuple[Sighting, ...]:
        """Return what the messages of a page say they are."""
        bodies = [body for chunk in page.bodies for body in chunk.split(b"\n")]
        return tuple(map(self._sight, bodies))

    def _sight(self, body: bytes) -> Sighting:
        found = self._sights.get(body)
        if found is None:
            found = self._sights[body] = sight(orjson.loads(body))
        return found

    def check(self) -> None:
        """See that what must hold at every moment holds."""
        for process in self.processes:
            if process.cache is None:
                continue
            try:
                process.cache._parts.near.check()  # noqa: SLF001  # it has no public name
            except AssertionError as error:
                self.wrong(f"{process.name}: the near cache {error}")

    def struck(self, kind: str, began: float, *, may_lose: bool = False) -> None:
        """Note that something was done to the system, and is over now."""
        self.history.faults.append(Fault(kind, began, self.clock.now(), may_lose))

    def current(self, key: SessionKey) -> Header | None:
        """Return what the server has of a session now; None: nothing."""
        record = self.server.record(key)
        return record and record.header

    def finish(self, keys: Sequence[SessionKey]) -> None:
        """Note what the server holds in the end."""
        finals = []
        for key in keys:
            name = name_of(key)
            record = self.server.record(key)
            bodies = [message.body for message in record.messages()] if record else []
            version = str(record.header.version) if record else None
            first = record.header.first if record else 0
            finals.append(Kept(name, version, first, tuple(map(self._sight, bodies))))
        self.history.finals = finals

    async def close(self) -> None:
        """Close every cache, and see that nothing of them is left."""
        for process in self.processes:
            if left := await self.closed(process):
                self.wrong(f"{process.name}: {left} still wait for a change of theirs")
            if process.crashes:
                self.wrong(f"{process.name} crashed: {dict(process.crashes)}")
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            # Of a process that was killed calls may be on their way, each with its time limit.
            _, left_over = await asyncio.wait(tasks, timeout=_LONGEST_CALL_SECONDS)
            for task in left_over:
                self.wrong(f"a task leaked: {getattr(task.get_coro(), '__qualname__', '')}")

    async def closed(self, process: Process) -> int:
        """End a process in order; return how many calls of it wait for a change of theirs."""
        try:
            return await process.stop()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what we look for
            self.wrong(f"{process.name} crashed: {error!r}")
            return 0

    def dispose(self) -> None:
        """Let go of the loop."""
        self.loop.close()

    def _crashed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.wrong(f"crashed: {context.get('message')}: {context.get('exception')!r}")

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Let the library draw its identifiers from the seed, and say nothing in its log."""
        draw: Callable[[int], int] = self._identifiers.getrandbits
        drawing = mock.patch.multiple(
            secrets,
            token_hex=lambda size: f"{draw(8 * size):0{2 * size}x}",
            randbits=draw,
            SystemRandom=lambda: self._identifiers,
        )
        log = logging.getLogger("memory_cache")
        quiet, log.disabled = log.disabled, True
        try:
            with drawing:
                yield
        finally:
            log.disabled = quiet


def name_of(key: SessionKey) -> str:
    """Return a session's name as a history has it."""
    return "/".join(key)
