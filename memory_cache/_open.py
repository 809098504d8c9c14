"""The composition root: the one place that knows both the cache and Redis."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from memory_cache._clock import SystemClock
from memory_cache._config import CacheConfig
from memory_cache._listener import Listener
from memory_cache._near import NearCache
from memory_cache._ports import Bus, Clock, Store
from memory_cache._reads import Reader
from memory_cache._redis import RedisBackend
from memory_cache._session import Parts, SessionCache
from memory_cache._stats import Counters
from memory_cache._tokens import estimate
from memory_cache._transcript import Scribe
from memory_cache._view import ulid
from memory_cache._writes import Writer


@asynccontextmanager
async def open_cache(
    url: str = "redis://localhost:6379", *, config: CacheConfig | None = None
) -> AsyncIterator[SessionCache]:
    """
    Connect to a Redis >= 7.0 or a Valkey, and give a cache until the block ends.

    ``url``: ``redis://``, ``rediss://`` (TLS) or ``unix://``, with database and credentials as
    redis-py reads them.

    Raises:
        ValueError: this is not a Redis URL.
        StoreError: there is no server.
        IncompatibleStoreError: the server is too old.
    """
    config = config or CacheConfig()
    backend = await RedisBackend.connect(url, config)
    async with cache_over(backend.store, backend.bus, SystemClock(), config) as cache:
        yield cache


@asynccontextmanager
async def cache_over(
    store: Store, bus: Bus, clock: Clock, config: CacheConfig
) -> AsyncIterator[SessionCache]:
    """Give a cache over any store and bus, such as those of ``memory_cache.testing``."""
    counters = Counters()
    near = NearCache(config, counters, bus.subscribe, bus.unsubscribe)
    listener = Listener(store, bus, near, clock, config, counters)
    reader = Reader(store, near, listener, clock, config, counters)
    scribe = Scribe(
        config.count_tokens or estimate,
        clock.wall,
        lambda time: ulid(time // 1000, secrets.randbits(80)),
        max_message_bytes=config.max_message_bytes,
        max_depth=config.max_depth,
    )
    writer = Writer(store, near, reader, scribe, clock, config, counters)
    if config.near_cache_bytes:
        listener.start()
    try:
        yield SessionCache(Parts(store, near, listener, reader, writer, clock, config, counters))
    finally:
        near.waiters.close()
        # Whatever ends the block, its own exception goes on; a crash of ours comes on top.
        await asyncio.shield(_close(store, listener, writer))


async def _close(store: Store, listener: Listener, writer: Writer) -> None:
    try:
        await writer.aclose()
        await listener.aclose()
    finally:
        await store.aclose()
