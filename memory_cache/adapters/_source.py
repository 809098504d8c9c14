"""The cache an adapter works on: one that is shared, or one of its own."""

import asyncio
import itertools
import threading
import warnings
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Sequence,
)
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from memory_cache import CacheClosedError, CacheConfig, SessionCache, SessionKey, open_cache
from memory_cache.adapters._reading import one_of_many
from memory_cache.adapters._threads import each, running_here, wait

T = TypeVar("T")

_PAGE: Final = 1000
_AT_ONCE: Final = 128
_STORE_TIMEOUTS: Final = 8
"""So many ``store_timeout_seconds`` a thread waits by default: a slow store has failed by then."""


class _Place:
    """What one event loop has of a cache of our own."""

    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.cache: SessionCache | None = None
        self.life: AsyncGenerator[None] | None = None


class CacheSource:
    """
    A cache that somebody else opened and closes; or, of a URL, one for each event loop.

    That one is opened at first use, for frameworks make their stores outside of any loop, and it
    ends with the loop, or with one of its runs: frameworks that are called without ``await`` run
    an event loop for each call.
    """

    def __init__(
        self,
        cache: SessionCache | str,
        config: CacheConfig | None = None,
        *,
        wait_seconds: float | None = None,
    ) -> None:
        """
        Use ``cache``, or connect to it if it is a URL; ``config`` is for the latter.

        Raises:
            TypeError: ``cache`` is neither.
            ValueError: ``wait_seconds`` is not a time that a thread can wait.
        """
        if not isinstance(cache, SessionCache | str):
            raise TypeError(
                "cache: give what `async with open_cache(url) as cache` gives, or a URL;"
                f" not {type(cache).__name__}"
            )
        if wait_seconds is not None and not 0 < wait_seconds <= threading.TIMEOUT_MAX:
            raise ValueError("wait_seconds: must be above 0, and a time that a thread can wait")
        self._cache = cache
        self._config = config
        self._wait_seconds = wait_seconds
        self._places = WeakKeyDictionary[asyncio.AbstractEventLoop, _Place]()
        self._closed = False

    async def get(self) -> SessionCache:
        """
        Return the cache.

        Raises:
            RuntimeError: the cache that is shared was opened on another event loop.
            CacheClosedError: ``aclose`` was called.
            StoreError, IncompatibleStoreError, ValueError: as ``open_cache``.
        """
        loop = asyncio.get_running_loop()
        if isinstance(self._cache, SessionCache):
            if self._cache.loop is not loop:
                # There an answer would be waited for that comes here: for ever.
                raise RuntimeError("the cache was opened on another event loop; give its URL")
            return self._cache
        place = self._places.setdefault(loop, _Place())
        async with place.opening:
            if self._closed:
                raise CacheClosedError("the adapter was closed")
            if place.cache is None:
                place.life = _life(place, self._cache, self._config)
                with warnings.catch_warnings():
                    # That the loop has closed its generators before; it does so again.
                    warnings.simplefilter("ignore", ResourceWarning)
                    opened = anext(place.life)
                await opened
            assert place.cache is not None
            return place.cache

    def waited(self, call: Callable[[], Coroutine[Any, Any, T]], awaited: str) -> T:
        """
        Make a call on the event loop of the cache, from another thread, and wait for it.

        Raises:
            RuntimeError: this is that loop's own thread, or the loop does not run.
            TimeoutError: no answer came in time; see ``wait``.
        """
        return wait(call, self._other_loop(awaited), self._seconds(), awaited)

    def waited_each(self, items: AsyncIterator[T], awaited: str) -> Iterator[T]:
        """Yield from an iterator of that loop; raises as ``waited``, the former error at once."""
        return each(items, self._other_loop(awaited), self._seconds(), awaited)

    def _other_loop(self, awaited: str) -> asyncio.AbstractEventLoop:
        """Return the loop of the cache; of those that have one of our own, the latest that runs."""
        if isinstance(self._cache, SessionCache):
            loops = [self._cache.loop]
        else:
            known = [ref() for ref in reversed(self._places.keyrefs())]
            loops = [loop for loop in known if loop is not None]
        if running_here() in loops:
            raise RuntimeError(f"this would block the event loop that it waits for: use {awaited}")
        for loop in loops:
            if loop.is_running():
                return loop
        raise RuntimeError(f"no event loop of the cache is running: use {awaited}")

    def _seconds(self) -> float:
        if self._wait_seconds is not None:
            return self._wait_seconds
        shared = self._cache.config if isinstance(self._cache, SessionCache) else None
        config = shared or self._config or CacheConfig()
        return _STORE_TIMEOUTS * config.store_timeout_seconds

    async def aclose(self) -> None:
        """
        Close a cache of our own; one that is shared goes on.

        What another event loop has of it ends with that loop.
        """
        self._closed = True
        place = self._places.get(asyncio.get_running_loop())
        if place is not None:
            async with place.opening:
                if place.life is not None:
                    await place.life.aclose()


async def _life(place: _Place, url: str, config: CacheConfig | None) -> AsyncGenerator[None]:
    """Keep a cache open; a generator, for those are what a loop closes that is done."""
    async with open_cache(url, config=config) as cache:
        place.cache = cache
        try:
            yield
        finally:
            place.cache = None


async def every_session(
    cache: SessionCache, namespace: str, user_id: str | None = None
) -> list[SessionKey]:
    """
    Return all sessions of a namespace, or of one user in it; in pages, so it is no snapshot.

    One that is used while we list moves to the front, and is met twice rather than missed.
    """
    found: dict[SessionKey, None] = {}
    for offset in itertools.count(0, _PAGE):
        page = await cache.list_sessions(
            namespace=namespace, user_id=user_id, limit=_PAGE, offset=offset
        )
        found.update(dict.fromkeys(page.sessions))
        if offset + _PAGE >= page.total:
            break
    # To a listing an empty name means any; here it is a name.
    return [key for key in found if key.namespace == namespace and user_id in {None, key.user_id}]


async def each_read(
    keys: Sequence[SessionKey], read: Callable[[SessionKey], Awaitable[T | None]]
) -> list[T]:
    """
    Return what is read of many sessions, some at once; those that are not there are left out.

    Raises:
        DamagedSessionError: of the first that is damaged; a note says which it is.
    """

    async def one(key: SessionKey) -> T | None:
        with one_of_many(key):
            return await read(key)

    found: list[T] = []
    for at in range(0, len(keys), _AT_ONCE):
        some = await asyncio.gather(*map(one, keys[at : at + _AT_ONCE]))
        found.extend(each for each in some if each is not None)
    return found
