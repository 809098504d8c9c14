"""All sessions of a listing, whatever happens to it while one reads it."""

import time
from collections.abc import AsyncIterator, Callable

import pytest
import redis

from memory_cache import SessionCache, open_cache
from memory_cache_server import looking
from support.valkey import ValkeyServer

PAGE, SESSIONS = 20, 50
INDEX = "mc:active"


@pytest.fixture
async def cache(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SessionCache]:
    """Some sessions, read in small pages."""
    monkeypatch.setattr(looking, "MOST", PAGE)
    async with open_cache(valkey_url) as cache:
        for at in range(SESSIONS):
            await cache.session(f"s{at}").append({"n": at})
        yield cache


@pytest.mark.parametrize("stale", [8_430, 10_000])
async def test_more_stale_entries_than_one_page_passes_over(
    valkey: ValkeyServer, cache: SessionCache, stale: int
) -> None:
    """However many went without a word, no session behind them is passed over."""
    later = time.time_ns()
    with valkey.admin as client:
        client.zadd(INDEX, {f"//gone{at}": later + at for at in range(stale)})
        found = [key async for key in looking.every(cache, None, None)]
        assert len(found) == len(set(found)) == SESSIONS


def deleted(client: redis.Redis) -> None:
    """Sessions that were met already go."""
    names = [f"s{SESSIONS - 1 - at}" for at in range(5, 15)]
    client.delete(*(f"mc:{{//{name}}}" for name in names))
    client.zrem(INDEX, *(f"//{name}" for name in names))


def used(client: redis.Redis) -> None:
    """Sessions that were not met yet come to the front."""
    client.zadd(INDEX, {f"//s{at}": time.time_ns() for at in range(5)})


@pytest.mark.parametrize("meanwhile", [deleted, used])
async def test_what_happens_meanwhile_hides_nothing(
    valkey: ValkeyServer, cache: SessionCache, meanwhile: Callable[[redis.Redis], None]
) -> None:
    """Whoever is there all the time is met once."""
    found = []
    with valkey.admin as client:
        async for key in looking.every(cache, None, None):
            found.append(key.session_id)
            if len(found) == PAGE:
                meanwhile(client)
    assert sorted(found) == sorted(f"s{at}" for at in range(SESSIONS))
