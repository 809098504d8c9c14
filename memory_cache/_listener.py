"""
The listener: what the bus tells goes into the near cache, in order; fences keep its lease.

It has three tasks: the bus, a heartbeat of fences every T/3, and a slow sweep for what sends
no message (a key evicted, or deleted by hand).
"""

import asyncio
import contextlib
import logging
import secrets
from typing import Final

from memory_cache._config import CacheConfig
from memory_cache._delta import decode
from memory_cache._ending import end
from memory_cache._errors import MemoryCacheError, StoreError
from memory_cache._near import NearCache
from memory_cache._ports import Bus, Clock, Have, Store
from memory_cache._stats import Counters
from memory_cache._types import Header, SessionKey

_log = logging.getLogger("memory_cache")

_SWEEP_AT_ONCE: Final = 64


class Listener:
    """Implements ``BusHandler``; ``start`` and ``aclose`` frame its life."""

    def __init__(  # noqa: PLR0917  # the composition root alone calls it
        self,
        store: Store,
        bus: Bus,
        near: NearCache,
        clock: Clock,
        config: CacheConfig,
        counters: Counters,
    ) -> None:
        """Connect nothing yet."""
        self._store = store
        self._bus = bus
        self._near = near
        self._clock = clock
        self._config = config
        self._counters = counters
        self._tasks: list[asyncio.Task[None]] = []
        # The fence that leaves at the end of this turn of the loop, for all who ask in it.
        self._next: asyncio.Future[None] | None = None
        self._nonces: dict[str, asyncio.Future[None]] = {}
        self._fencing: set[asyncio.Task[None]] = set()
        self._up = asyncio.Event()

    def start(self) -> None:
        """Begin to listen."""
        parts = (self._bus.run(self), self._beat(), self._sweep())
        self._tasks = [asyncio.create_task(part, name="memory-cache-listener") for part in parts]

    async def aclose(self) -> None:
        """
        Stop listening.

        Raises:
            Exception: a task had crashed with it, which is a bug of ours.
        """
        await end([*self._tasks, *self._fencing])
        for task in self._tasks:
            if not task.cancelled() and (crash := task.exception()):
                raise crash

    async def fresh(self) -> None:
        """
        Wait until a fence that leaves after this call has renewed the lease.

        Cancelled: the fence goes on for the others.

        Raises:
            StoreError: it did not; the near cache may not answer.
        """
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_soon(self._send)
        await asyncio.shield(self._next)

    # What the bus tells

    def connected(self) -> None:
        """A generation began."""
        self._near.began()
        self._up.set()

    def lost(self, reason: str) -> None:
        """A generation ended."""
        self._up.clear()
        self._near.lost()
        for future in self._nonces.values():
            if not future.done():
                future.set_exception(StoreError(reason))

    def opened(self, key: SessionKey) -> None:
        """The last SUBSCRIBE for this session was confirmed."""
        self._near.opened(key)

    def message(self, key: SessionKey, payload: bytes) -> None:
        """A change was heard."""
        try:
            delta = decode(payload)
        except ValueError:
            # A release we do not know, or not ours at all: this session's, and no more.
            self._near.doubt(key, "undecodable")
            return
        self._near.heard(key, delta)

    def nonce(self, nonce: str) -> None:
        """A fence of ours came out of the subscription: all that went before it is applied."""
        self._near.lease.heard(nonce)
        future = self._nonces.get(nonce)
        if future is not None and not future.done():
            future.set_result(None)

    # Fences

    def _send(self) -> None:
        promise, self._next = self._next, None
        assert promise is not None, "a fence is sent for somebody"
        task = asyncio.get_running_loop().create_task(self._fence(promise))
        self._fencing.add(task)
        task.add_done_callback(self._fencing.discard)

    async def _fence(self, promise: asyncio.Future[None]) -> None:
        nonce, generation = secrets.token_hex(8), self._near.generation
        heard = self._nonces[nonce] = asyncio.get_running_loop().create_future()
        try:
            if not self._near.connected:
                raise StoreError("there is no subscription")
            self._counters.fences += 1
            self._near.lease.sent(nonce, self._clock.now())
            async with asyncio.timeout(self._config.staleness_seconds):
                await self._bus.fence(nonce)
                self._near.lease.answered(nonce)
                await heard
        except TimeoutError:
            self._refuse(promise, generation, StoreError("the fence did not come back"))
        except MemoryCacheError as error:
            self._refuse(promise, generation, StoreError(str(error)))
        else:
            promise.set_result(None)
        finally:
            del self._nonces[nonce]
            _seen(heard)
            if not promise.done():
                promise.set_exception(StoreError("the cache was closed"))
                _seen(promise)

    def _refuse(self, promise: asyncio.Future[None], generation: int, error: StoreError) -> None:
        # Anything but a nonce and a right answer ends the generation (rule 4), and no later one.
        if generation == self._near.generation:
            self._bus.drop(error.reason)
        promise.set_exception(error)
        _seen(promise)

    async def _beat(self) -> None:
        while True:
            await self._up.wait()
            try:
                await self.fresh()
            except StoreError as error:
                _log.warning("near cache: no lease (%s)", error.reason)
            self._near.unsubscribe_retired(self._clock.now())
            await asyncio.sleep(self._config.staleness_seconds / 3)

    # The sweep

    async def _sweep(self) -> None:
        jitter = secrets.SystemRandom()
        while True:
            await asyncio.sleep(self._config.sweep_seconds * jitter.uniform(0.8, 1.2))
            await self._purge()
            hot = self._near.hot()
            for at in range(0, len(hot), _SWEEP_AT_ONCE):
                some = hot[at : at + _SWEEP_AT_ONCE]
                await asyncio.gather(*(self._compare(key, header) for key, header in some))

    async def _purge(self) -> None:
        """Let a listing remove what expired: else it stayed in the index until somebody lists."""
        try:
            await self._store.list_sessions("", "", limit=1, offset=0, newest_first=True)
        except MemoryCacheError as error:
            _log.debug("index: not swept (%s)", error)

    async def _compare(self, key: SessionKey, header: Header) -> None:
        """Make suspect what the store no longer has like this."""
        try:
            span = await self._store.tail(key, 0, Have(header, header.next))
        except MemoryCacheError:
            return
        if span is None or not span.header.holds(header.version):
            self._near.doubt(key, "swept")
            return
        heard = self._near.passed(key, span.header)
        if heard is None:
            return
        # The store is ahead: either the delta is on its way, or it was lost. A fence tells.
        with contextlib.suppress(StoreError):
            await self.fresh()
            if not heard.done():
                self._near.doubt(key, "swept")


def _seen(future: asyncio.Future[None]) -> None:
    """Tell asyncio that an exception nobody may await is no accident."""
    if future.done() and not future.cancelled():
        future.exception()
