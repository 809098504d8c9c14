"""When a session is entered into the index: before it is made, and now and then afterwards."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Final, NamedTuple

from cachetools import TTLCache

from memory_cache._background import crashed
from memory_cache._errors import MemoryCacheError
from memory_cache._names import names_cost
from memory_cache._ports import FOREVER, Clock, Store
from memory_cache._stats import Counters
from memory_cache._types import Header, SessionKey

_log = logging.getLogger("memory_cache")

_ENTERED_COST: Final = 768
"""Bytes charged for a session that was entered, beside its names."""


class _Entered(NamedTuple):
    """Of which incarnation, and with which time to live, a session was entered."""

    key: SessionKey
    inc: str
    ttl_ms: int

    @property
    def cost(self) -> int:
        """Bytes charged to the budget."""
        return _ENTERED_COST + names_cost(self.key)


class Presence:
    """Knows which sessions this process has entered lately."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        touch_seconds: float,
        most_bytes: int,
        counters: Counters,
    ) -> None:
        """Enter a session that is in use once in ``touch_seconds``, as far as the bytes go."""
        self._store = store
        self._clock = clock
        self._counters = counters
        self._entered: TTLCache[SessionKey, _Entered] = TTLCache(
            most_bytes, touch_seconds, timer=clock.now, getsizeof=lambda entered: entered.cost
        )
        self._entering_now: set[SessionKey] = set()
        self._touching: set[asyncio.Task[None]] = set()

    def known(self, key: SessionKey) -> bool:
        """Whether the session was there a moment ago."""
        return key in self._entered

    async def enter(self, key: SessionKey, ttl_ms: int | None) -> None:
        """Enter a session that is about to be made, and wait: who knows of it must find it."""
        expires = self._clock.wall() // 1000 + ttl_ms if ttl_ms and ttl_ms > 0 else None
        await self._store.touch(key, expires)

    async def restore(self, key: SessionKey) -> None:
        """
        Enter a session that is there where it is missing, as active when it was last changed.

        Who made it may have been killed before it entered it again; see ``changed``.
        """
        span = await self._store.tail(key, 0)
        if span is not None:
            expires = None
            if span.left_ms != FOREVER:
                expires = self._clock.wall() // 1000 + span.left_ms
            await self._store.touch(key, expires, since=span.header.updated)

    async def changed(self, key: SessionKey, after: Header) -> None:
        """
        Note a change.

        A session that was just made is entered again: somebody who met the entry before the
        session was there may have removed it. Of any other the activity is noted, at most once
        in a while for one incarnation and time to live, and nobody waits.
        """
        now = _Entered(key, after.inc, after.ttl_ms)
        if self._entered.get(key) == now or (key in self._entering_now and after.num > 1):
            return
        self._entering_now.add(key)
        self._entered.pop(key, None)
        touch = self._noted(self._entering(key, now))
        if after.num == 1:
            await touch
        else:
            self._later(touch)

    async def _entering(self, key: SessionKey, now: _Entered) -> None:
        try:
            await self.enter(key, now.ttl_ms)
            if now.cost <= self._entered.maxsize:
                self._entered[key] = now
        finally:
            self._entering_now.discard(key)

    def deleted(self, key: SessionKey) -> None:
        """Note that the session is gone: its entries are removed, and nobody waits."""
        self._entered.pop(key, None)
        self._later(self._noted(self._store.forget(key)))

    async def settle(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._touching)

    def _later(self, call: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(call)
        self._touching.add(task)
        task.add_done_callback(self._touching.discard)

    async def _noted(self, call: Awaitable[object]) -> None:
        """Await a call to the index; the change that it follows is made, whatever becomes of it."""
        try:
            await call
        except MemoryCacheError as error:
            _log.info("index: a change of a session was not noted (%s)", error)
        except Exception as error:  # noqa: BLE001  # whatever it is, the change is made
            crashed(self._counters, "index", error)
