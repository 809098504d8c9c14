"""The cache an adapter works on: one that is shared, or one of its own."""

import asyncio
import itertools
from contextlib import AsyncExitStack
from typing import Final

from memory_cache import CacheClosedError, CacheConfig, SessionCache, SessionKey, open_cache

_PAGE: Final = 1000


class CacheSource:
    """
    A cache that somebody else opened and closes; or, of a URL, one that is opened at first use.

    Frameworks make their stores outside of the event loop, where nothing can be connected yet.
    """

    def __init__(self, cache: SessionCache | str, config: CacheConfig | None = None) -> None:
        """Use ``cache``, or connect to it if it is a URL; ``config`` is for the latter."""
        self._cache = cache
        self._config = config
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._closed = False

    async def get(self) -> SessionCache:
        """
        Return the cache.

        Raises:
            CacheClosedError: ``aclose`` was called.
            StoreError, IncompatibleStoreError, ValueError: as ``open_cache``.
        """
        if isinstance(self._cache, SessionCache):
            return self._cache
        async with self._opening:
            if self._closed:
                raise CacheClosedError("the adapter was closed")
            if isinstance(self._cache, str):
                opened = open_cache(self._cache, config=self._config)
                self._cache = await self._stack.enter_async_context(opened)
            return self._cache

    async def aclose(self) -> None:
        """Close the cache if it is our own; one that is shared goes on."""
        async with self._opening:
            self._closed = True
            await self._stack.aclose()


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
