"""Store and bus of one URL, sharing the connection that writes take."""

import asyncio
import secrets
from typing import Self

from redis.exceptions import ResponseError

from memory_cache._config import CacheConfig
from memory_cache._errors import StoreError
from memory_cache._redis.bus import RedisBus
from memory_cache._redis.connect import Dialer
from memory_cache._redis.errors import translating
from memory_cache._redis.keys import Keys
from memory_cache._redis.lane import Lane
from memory_cache._redis.store import RedisStore


class RedisBackend:
    """What ``open_cache`` puts under a cache."""

    def __init__(self, store: RedisStore, bus: RedisBus) -> None:
        """Hold both; see ``connect``."""
        self.store = store
        self.bus = bus

    @classmethod
    async def connect(cls, url: str, config: CacheConfig) -> Self:
        """
        Return store and bus of a URL, after the server has answered once.

        Raises:
            ValueError: this is not a Redis URL.
            IncompatibleStoreError: the server is too old.
            StoreError: there is no server.
        """
        dialer = Dialer(url, config.connect_timeout_seconds)
        keys = Keys(config.prefix, dialer.database)
        lane = Lane(dialer, config.store_timeout_seconds)
        bulk = Lane(dialer, 4 * config.store_timeout_seconds)
        store = RedisStore(lane, bulk, keys, dialer.clock, config)
        try:
            with translating():
                # Without a near cache nothing hangs on it, and who only looks leaves no key behind.
                first = _epoch(lane, keys.epoch) if config.near_cache_bytes else _ping(lane)
                epoch = await asyncio.wait_for(first, config.store_timeout_seconds)
        except TimeoutError as error:
            await store.aclose()
            raise StoreError("the store does not answer") from error
        except BaseException:
            await store.aclose()
            raise
        return cls(store, RedisBus(dialer, lane, keys, epoch))


async def _ping(lane: Lane) -> None:
    """Wait for an answer."""
    await lane.call("PING")


async def _epoch(lane: Lane, name: str) -> str:
    """Return the store's epoch; one that has none, and takes no writes, will have another later."""
    made = secrets.token_hex(8)
    try:
        await lane.call("SET", name, made, "NX")
    except ResponseError:
        await lane.call("PING")
        return made
    epoch: bytes = await lane.call("GET", name)
    return epoch.decode()
