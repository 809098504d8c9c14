"""The store's clock as a process knows it."""

import time

import pytest

from memory_cache import CacheConfig, open_cache
from memory_cache._redis.server_clock import ServerClock
from memory_cache._redis.store import RedisStore

YEAR_MS = 365 * 24 * 3600 * 1000


def test_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was heard is counted on from when it was heard."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    clock = ServerClock()
    now = 200.0
    clock.heard(1_000_000)
    now = 205.0
    assert clock.after(2) == 1_007_000


async def test_change_puts_a_wrong_clock_right(valkey_url: str) -> None:
    """The answer to a change tells the store's time, where the one believed in was ahead."""
    # Nobody else hears of the time: a subscription that connects would.
    async with open_cache(valkey_url, config=CacheConfig(near_cache_bytes=0)) as cache:
        store = cache._parts.store
        assert isinstance(store, RedisStore)
        store._clock.heard(time.time() * 1000 + YEAR_MS)
        await cache.session("s").append({"n": 1})
        assert abs(store._clock.after(0) - time.time() * 1000) < YEAR_MS / 2
