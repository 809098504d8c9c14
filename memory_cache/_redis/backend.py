"""Store and bus of one URL, sharing the connection that writes take."""

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import Self

from redis.credentials import CredentialProvider
from redis.exceptions import ResponseError

from memory_cache._background import kept
from memory_cache._config import CacheConfig
from memory_cache._errors import StoreError
from memory_cache._redis.bus import RedisBus
from memory_cache._redis.connect import Dialer
from memory_cache._redis.credentials import Credentials, Renewal
from memory_cache._redis.errors import translating
from memory_cache._redis.keys import Keys
from memory_cache._redis.lane import Lane
from memory_cache._redis.packing import pack, pack_slowly
from memory_cache._redis.permissions import check
from memory_cache._redis.store import RedisStore
from memory_cache._redis.url import StoreUrl
from memory_cache._stats import Counters

_log = logging.getLogger("memory_cache")


class RedisBackend:
    """What ``open_cache`` puts under a cache."""

    def __init__(self, store: RedisStore, bus: RedisBus) -> None:
        """Hold both; see ``connect``."""
        self.store = store
        self.bus = bus

    @classmethod
    async def connect(
        cls,
        url: StoreUrl,
        config: CacheConfig,
        counters: Counters,
        provider: CredentialProvider | None = None,
    ) -> Self:
        """
        Return store and bus of a URL, after the server has answered once.

        ``counters``: where crashes of what runs in the background are counted.

        Raises:
            IncompatibleStoreError: the server is too old.
            StoreError: there is no server, or it does not permit what is needed.
        """
        if pack is pack_slowly:
            _log.warning("hiredis does not pack commands as it did: Python does, more slowly")
        if url.without_effect:
            _log.warning("without effect in the Redis URL: %s", ", ".join(url.without_effect))
        credentials = None if provider is None else Credentials(provider)
        dialer = Dialer(url, config.connect_timeout_seconds, credentials)
        keys = Keys(config.prefix, url.database)
        lane = Lane(dialer, config.store_timeout_seconds, counters)
        bulk = Lane(dialer, 4 * config.store_timeout_seconds, counters)
        store = RedisStore(lane, bulk, keys, dialer.clock, config)
        bus = RedisBus(dialer, lane, keys)
        try:
            with translating():
                # Without a near cache nothing hangs on it, and who only looks leaves no key behind.
                first = _check(lane, bus, keys) if config.near_cache_bytes else _look(lane, keys)
                seconds = 2 * config.connect_timeout_seconds + config.store_timeout_seconds
                await asyncio.wait_for(first, seconds)
        except TimeoutError as error:
            await store.aclose()
            raise StoreError("the store does not answer") from error
        except BaseException:
            await store.aclose()
            raise
        if credentials is not None:
            renewal = Renewal(credentials, (lane, bulk), config.credentials_seconds, bus.drop)
            store.until_closed(kept("credentials", renewal.run, counters))
        return cls(store, bus)


async def _look(lane: Lane, keys: Keys) -> None:
    """Wait for an answer to a read: a PING is refused by a store that cannot persist."""
    await lane.call("EXISTS", keys.epoch)


async def _check(lane: Lane, bus: RedisBus, keys: Keys) -> None:
    """Refuse a store that does not permit what is needed, and learn its epoch."""
    await check(lane, keys)
    await bus.check()
    bus.epoch = await _epoch(lane, keys.epoch)


async def _epoch(lane: Lane, name: str) -> str:
    """Return the store's epoch; one that has none, and takes no writes, will have another later."""
    made = secrets.token_hex(8)
    with suppress(ResponseError):
        await lane.call("SET", name, made, "NX")
    found: bytes | None = await lane.call("GET", name)
    return made if found is None else found.decode()
