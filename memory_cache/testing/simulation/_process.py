"""One worker process: its connections, the cache over them, and how it ends."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from memory_cache import CacheConfig, Session, SessionCache, SessionKey, StoreError, cache_over
from memory_cache.testing._bus import InMemoryBus
from memory_cache.testing._clock import ManualClock
from memory_cache.testing._link import Faults, Link
from memory_cache.testing._server import InMemoryServer
from memory_cache.testing.simulation._loop import SeededLoop
from memory_cache.testing.simulation._network import PacedLink, Trace, Wire, WiredStore, chance

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all processes of a simulation share; ``scripts``: what the server has cached."""

    loop: SeededLoop
    clock: ManualClock
    random: Random
    server: InMemoryServer
    trace: Trace
    scripts: set[str] = field(default_factory=set)


OWNER: ContextVar["Process | None"] = ContextVar("OWNER", default=None)
"""The process that a callback of the loop belongs to."""


class Process:
    """
    A worker process that can be stopped for a while, killed, and begun anew.

    ``cache`` is None while it is not there. What runs in it, or for its callers, runs by ``do``.
    ``violations`` is what audits found in all its lives, by kind, ``crashes`` what its tasks in
    the background ended by; ``killed``: its connections
    are those of a dead process.
    """

    def __init__(self, name: str, config: CacheConfig, around: Surroundings) -> None:
        """Be not there yet."""
        self.name = name
        self.config = config
        self.cache: SessionCache | None = None
        self.past: deque[tuple[SessionKey, bytes]] = deque()
        self.violations = Counter[str]()
        self.crashes = Counter[str]()
        self._around = around
        self._frozen: list[asyncio.Handle] | None = None
        self._starts = 0
        self._main: asyncio.Task[None] | None = None
        self._doing: dict[asyncio.Task[Any], None] = {}
        self._connect()

    def _connect(self) -> None:
        around = self._around
        self.wire = Wire(around.random, self.config, around.scripts, self._told)
        self.store = WiredStore(around.server, self.wire, self.config, _context(None))
        self.bus = InMemoryBus(around.server, self.wire, self._link)
        self._stop = asyncio.Event()
        self.killed = False

    def _link(self, node: int, replid: str, faults: Faults) -> Link:
        return PacedLink(node, replid, faults, self.wire, self.past)

    def _told(self, *what: object) -> None:
        self._around.trace(self.name, *what)

    @property
    def alive(self) -> bool:
        """Whether it can be asked anything."""
        return self.cache is not None

    @property
    def standing_still(self) -> bool:
        """Whether it is frozen."""
        return self._frozen is not None

    @property
    def life(self) -> str:
        """Its name from one start to the next."""
        return f"{self.name}/{self._starts}"

    def session(self, key: SessionKey) -> Session:
        """
        Return its handle of a session.

        Raises:
            ProcessDiedError: it is not there any more.
        """
        if self.cache is None:
            raise ProcessDiedError(self.name)
        return self.cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)

    # Its life

    async def start(self) -> None:
        """Begin; the cache is there afterwards, its connections are on their way."""
        self._connect()
        self._starts += 1
        loop = self._around.loop
        ready = loop.create_future()
        self._main = loop.create_task(self._live(ready), context=_context(self))
        await ready

    async def _live(self, ready: asyncio.Future[None]) -> None:
        async with cache_over(self.store, self.bus, self._around.clock, self.config) as cache:
            self.cache = cache
            ready.set_result(None)
            try:
                await self._stop.wait()
            finally:
                self.violations.update(cache.statistics().violations)
                self.crashes.update(cache.statistics().crashes)
                self.cache = None

    async def stop(self) -> int:
        """End as a program does that closes its cache; return how many calls wait in it still."""
        cache, main = self.cache, self._main
        if cache is None or main is None:
            return 0
        self._stop.set()
        await main
        while self.store.travelling:
            await asyncio.wait(list(self.store.travelling))
        return len(cache._parts.near.waiters)  # noqa: SLF001  # it has no public name

    async def kill(self) -> None:
        """End as by ``kill -9``: requests that have left may arrive, or not."""
        self.thaw()
        self.cache, self.wire.down, self.killed = None, True, True
        self.bus.blackhole()
        for task in list(self.store.travelling):
            if chance(self._around.random, 0.5):
                task.cancel()
        for doing in list(self._doing):
            doing.cancel()
        if self._main is not None:
            self._main.cancel()
            await asyncio.wait([self._main])

    # What runs in it

    async def do(self, call: Callable[[], Awaitable[T]]) -> T:
        """
        Run what a client asked of this process, in it.

        Raises:
            ProcessDiedError: it was killed meanwhile.
        """
        task = self._around.loop.create_task(_awaited(call), context=_context(self))
        self._doing[task] = None
        try:
            await asyncio.wait([task])
        finally:
            del self._doing[task]
            if not task.done():
                task.cancel()
        if task.cancelled():
            raise ProcessDiedError(self.name)
        return task.result()

    def freeze(self) -> None:
        """Stand still, as by SIGSTOP: nothing of it runs until ``thaw``."""
        if self._frozen is None:
            self._frozen = []

    def thaw(self) -> None:
        """Go on."""
        waiting, self._frozen = self._frozen or [], None
        self._around.loop.resume(waiting)


def held_back(context: Context, handle: asyncio.Handle) -> bool:
    """Whether a callback is of a process that stands still; that keeps it."""
    owner = context.get(OWNER)
    if owner is None or owner._frozen is None:  # noqa: SLF001  # of this file
        return False
    owner._frozen.append(handle)  # noqa: SLF001  # of this file
    return True


class ProcessDiedError(StoreError):
    """The process that had the call is gone; what became of it nobody knows."""

    def __init__(self, name: str) -> None:
        """Say which."""
        super().__init__(f"{name} died", applied="unknown")


def _context(owner: Process | None) -> Context:
    context = copy_context()
    context.run(OWNER.set, owner)
    return context


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()
