"""
The listener: what the bus tells goes into the near cache, in order; fences keep its lease.

It has three tasks: the bus, a heartbeat of fences every T/3, and a slow sweep that audits some
hot sessions in turn: for what sends no message (a key evicted, or deleted by hand), and to know.
One that crashes is begun again. Meanwhile nothing stale is answered: without the bus there is no
generation, and without the heartbeat the lease lapses unless a reader has a fence sent.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from typing import Literal

from memory_cache._audit import in_turn, verdict
from memory_cache._background import crashed, kept
from memory_cache._config import CacheConfig
from memory_cache._delta import decode
from memory_cache._ending import end
from memory_cache._errors import DamagedSessionError, MemoryCacheError, StoreError
from memory_cache._near import NearCache
from memory_cache._ports import Bus, Clock, Have, Store
from memory_cache._stats import Counters
from memory_cache._types import Header, SessionKey

_log = logging.getLogger("memory_cache")


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
        self._nonces: dict[str, asyncio.Future[float]] = {}
        self._fencing: set[asyncio.Task[None]] = set()
        self._up = asyncio.Event()
        self._closed = False
        # Hot sessions, in the order in which they are audited.
        self._line: list[SessionKey] = []

    def start(self) -> None:
        """Begin to listen."""
        parts = {"bus": self._listen, "heartbeat": self._beat, "sweep": self._sweep}
        self._tasks = [
            asyncio.create_task(kept(name, run, self._counters), name=f"memory-cache-{name}")
            for name, run in parts.items()
        ]

    async def aclose(self) -> None:
        """Stop listening."""
        self._closed = True
        await end([*self._tasks, *self._fencing])

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

    async def _listen(self) -> None:
        try:
            await self._bus.run(self)
        finally:
            if not self._closed:
                # It crashed. Nobody hears any more what happens to the sessions that are held.
                self.lost("the subscription was given up")

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
            future.set_result(self._clock.now())

    # Fences

    def _send(self) -> None:
        promise, self._next = self._next, None
        assert promise is not None, "a fence is sent for somebody"
        if self._closed:
            _unkept(promise)
            return
        task = asyncio.get_running_loop().create_task(self._fence(promise))
        self._fencing.add(task)

        def sent(task: asyncio.Task[None]) -> None:
            self._fencing.discard(task)
            # Not in the task itself: one that is cancelled before its first step runs nothing.
            _unkept(promise)

        task.add_done_callback(sent)

    async def _fence(self, promise: asyncio.Future[None]) -> None:
        nonce, generation = secrets.token_hex(8), self._near.generation
        if not self._near.connected:
            self._refuse(promise, generation, StoreError("there is no subscription"))
            return
        heard = self._nonces[nonce] = asyncio.get_running_loop().create_future()
        try:
            self._counters.fences += 1
            sent_at = self._clock.now()
            self._near.lease.sent(nonce, sent_at)
            async with asyncio.timeout(self._config.staleness_seconds):
                await self._bus.fence(nonce)
                self._near.lease.answered(nonce)
                heard_at = await heard
        except TimeoutError:
            self._refuse(promise, generation, StoreError("the fence did not come back"))
        except MemoryCacheError as error:
            self._refuse(promise, generation, StoreError(str(error)))
        except Exception as error:  # noqa: BLE001  # whatever it is, no fence has passed
            crashed(self._counters, "fence", error)
            self._refuse(promise, generation, StoreError("the fence could not be sent"))
        else:
            self._counters.propagation_seconds.append(heard_at - sent_at)
            self._counters.fence_seconds.append(self._clock.now() - sent_at)
            promise.set_result(None)
        finally:
            del self._nonces[nonce]
            _seen(heard)

    def _refuse(self, promise: asyncio.Future[None], generation: int, error: StoreError) -> None:
        # Anything but a nonce and a right answer ends the generation (rule 4), and no later one.
        if generation == self._near.generation:
            self._bus.drop(error.reason)
        promise.set_exception(error)
        _seen(promise)

    async def _beat(self) -> None:
        told = ""
        while True:
            await self._up.wait()
            # From fence to fence: a busy loop, in which each takes long, must not stretch it.
            due = self._clock.now() + self._config.staleness_seconds / 3
            reason = await self._renew()
            if reason not in {"", told}:
                _log.warning("near cache: no lease (%s)", reason)
            told = reason
            await asyncio.sleep(max(0.0, due - self._clock.now()))

    async def _renew(self) -> str:
        """Have a fence sent; return why none passed, if so."""
        try:
            await self.fresh()
        except StoreError as error:
            return error.reason
        return ""

    # The sweep

    async def _sweep(self) -> None:
        jitter = secrets.SystemRandom()
        while True:
            await asyncio.sleep(self._config.sweep_seconds * jitter.uniform(0.8, 1.2))
            await self._purge()
            hot = dict(self._near.hot())
            some, self._line = in_turn(self._line, hot, self._config.sweep_sessions)
            if some:
                await self._audit({key: hot[key] for key in some})

    async def _purge(self) -> None:
        """Let a listing remove what expired: else it stayed in the index until somebody lists."""
        try:
            await self._store.list_sessions("", "", limit=1, offset=0, newest_first=True)
        except MemoryCacheError as error:
            _log.debug("index: not swept (%s)", error)

    async def _audit(self, held: Mapping[SessionKey, Header]) -> None:
        """Count and make suspect what the store has otherwise; the order is that of ``_audit``."""
        generation, wrong = self._near.generation, dict[str, str]()
        found: dict[SessionKey, Header | Literal["damaged"] | None] = {}
        await asyncio.gather(*(self._ask(key, held[key], found) for key in held))
        try:
            await self.fresh()
        except StoreError:
            # Its generation is over: all that was held in it is suspect.
            return
        if generation != self._near.generation:
            return
        for key, stored in found.items():
            now = self._near.answering(key, self._clock.now())
            if now is None:
                continue
            self._counters.audits += 1
            kind = stored if stored == "damaged" else verdict(held[key], stored, now)
            if kind is not None:
                self._counters.violations[kind] += 1
                self._near.doubt(key, "audit")
                wrong[kind] = str(now.version)
        if wrong:
            _log.warning("near cache: an audit found what the store does not have: %s", wrong)

    async def _ask(
        self,
        key: SessionKey,
        held: Header,
        found: dict[SessionKey, Header | Literal["damaged"] | None],
    ) -> None:
        """Note the store's header of a session (None: there is no session), if it answers."""
        try:
            span = await self._store.tail(key, 0, Have(held, held.next))
        except DamagedSessionError:
            found[key] = "damaged"
        except MemoryCacheError as error:
            _log.debug("near cache: not audited (%s)", error)
        else:
            found[key] = None if span is None else span.header


def _unkept(promise: asyncio.Future[None]) -> None:
    """Tell those who wait for a fence that there will be none."""
    if not promise.done():
        promise.set_exception(StoreError("the cache was closed"))
        _seen(promise)


def _seen(future: asyncio.Future[None]) -> None:
    """Tell asyncio that an exception nobody may await is no accident."""
    if future.done() and not future.cancelled():
        future.exception()
