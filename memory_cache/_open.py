"""The composition root: the one place that knows both the cache and Redis."""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from memory_cache._clock import SystemClock
from memory_cache._config import CacheConfig
from memory_cache._ending import to_the_end
from memory_cache._hooks import workable
from memory_cache._listener import Listener
from memory_cache._near import NearCache
from memory_cache._ports import Bus, Clock, Store
from memory_cache._reads import Reader
from memory_cache._redis import CredentialProvider, RedisBackend, read_url
from memory_cache._session import Parts, SessionCache
from memory_cache._stats import Counters
from memory_cache._tokens import estimate
from memory_cache._transcript import Scribe
from memory_cache._view import ulid
from memory_cache._writes import Writer


def open_cache(
    url: str = "redis://localhost:6379",
    *,
    config: CacheConfig | None = None,
    credential_provider: CredentialProvider | None = None,
) -> AbstractAsyncContextManager[SessionCache]:
    """
    Connect to a Redis >= 7.0 or a Valkey, and give a cache until the block ends.

    ``url``: ``redis://``, ``valkey://``, with TLS ``rediss://`` or ``valkeys://``, or ``unix://``,
    with database, credentials and options as redis-py reads them; those of its options that change
    nothing here are named in a warning. ``credential_provider``: one of redis-py's, for tokens that
    change; the connections authenticate again when it has another one
    (``CacheConfig.credentials_seconds``).

    Cancelled where the block ends, it closes all the same, and then goes on being cancelled; that
    takes no longer than the store's time limits.

    Raises:
        ValueError: something is wrong in the URL; at once, before the block is entered.
        StoreError: there is no server, or its ACL does not permit what is needed.
        IncompatibleStoreError: the server is too old.
    """
    wanted, where = workable(config or CacheConfig()), read_url(url)
    if credential_provider is not None and where.options.keys() & {"username", "password"}:
        raise ValueError("the Redis URL has a user name or password beside a credential provider")

    async def connect(counters: Counters) -> tuple[Store, Bus]:
        backend = await RedisBackend.connect(where, wanted, counters, credential_provider)
        return backend.store, backend.bus

    return _Opening(connect, SystemClock(), wanted)


def cache_over(
    store: Store, bus: Bus, clock: Clock, config: CacheConfig
) -> AbstractAsyncContextManager[SessionCache]:
    """Give a cache over any store and bus, such as those of ``memory_cache.testing``."""

    async def connect(_: Counters) -> tuple[Store, Bus]:
        return store, bus

    return _Opening(connect, clock, config)


class _Opening(AbstractAsyncContextManager[SessionCache]):
    """
    A cache from the beginning of a block to its end.

    Not a generator: an event loop may close those before its end, those inside others first.
    """

    def __init__(
        self,
        connect: Callable[[Counters], Awaitable[tuple[Store, Bus]]],
        clock: Clock,
        config: CacheConfig,
    ) -> None:
        self._connect: Final = connect
        self._clock: Final = clock
        self._config: Final = config

    async def __aenter__(self) -> SessionCache:
        counters = Counters()
        store, bus = await self._connect(counters)
        self._parts = _parts(store, bus, self._clock, self._config, counters)
        if self._config.near_cache_bytes:
            self._parts.listener.start()
        return SessionCache(self._parts)

    async def __aexit__(self, *_: object) -> None:
        self._parts.near.waiters.close()
        await to_the_end(_close(self._parts))


def _parts(store: Store, bus: Bus, clock: Clock, config: CacheConfig, counters: Counters) -> Parts:
    near = NearCache(config, counters, bus.subscribe, bus.unsubscribe)
    listener = Listener(store, bus, near, clock, config, counters)
    reader = Reader(store, near, listener, clock, config, counters)
    scribe = Scribe(
        config.count_tokens or estimate,
        clock.wall,
        lambda time: ulid(time // 1000, secrets.randbits(80)),
        max_message_bytes=config.max_message_bytes,
        max_depth=config.max_depth,
        max_future_seconds=config.max_future_seconds,
    )
    writer = Writer(store, near, reader, scribe, clock, config, counters)
    return Parts(store, near, listener, reader, writer, clock, config, counters)


async def _close(parts: Parts) -> None:
    try:
        # While there is a store.
        await parts.writer.settle()
    finally:
        try:
            await parts.listener.aclose()
        finally:
            await parts.store.aclose()
            # What still waited for the store has been told that it is closed, and ends by that.
            await parts.reader.settle()
            await parts.writer.settle()
