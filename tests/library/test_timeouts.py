"""A store that is there and does not answer in time."""

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from memory_cache import (
    NEWEST,
    CacheConfig,
    SessionCache,
    StoreError,
    VersionTimeoutError,
    at_least,
    open_cache,
)
from support.in_process import MESSAGES, SESSION, message, serving
from support.valkey import ValkeyServer

TIMEOUT_SECONDS = 0.3


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A Valkey that may be stopped."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def stopped(server: ValkeyServer) -> Iterator[None]:
    """Nothing: asked for last, it stops the server until the test is over."""
    yield
    os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
async def cache(server: ValkeyServer) -> AsyncIterator[SessionCache]:
    """A cache that does not wait for long."""
    config = CacheConfig(store_timeout_seconds=TIMEOUT_SECONDS)
    async with open_cache(server.url, config=config) as cache:
        yield cache


@pytest.mark.usefixtures("stopped")
async def test_version_that_does_not_arrive(cache: SessionCache, server: ValkeyServer) -> None:
    """A read of a version says that it did not arrive, any other that the store is not there."""
    chat = cache.session("chat")
    change = await chat.append({"n": 1})
    assert change.version is not None
    os.kill(server.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(VersionTimeoutError):
        await chat.recent(1, consistency=at_least(change.version))
    assert time.monotonic() - began < 10 * TIMEOUT_SECONDS
    with pytest.raises(StoreError):
        await chat.recent(1, consistency=NEWEST)


@pytest.mark.usefixtures("stopped")
async def test_version_over_http(server: ValkeyServer) -> None:
    """Memory-Min-Version that does not arrive in time is a 504; a plain read is a 503."""
    async with serving(server.url, store_timeout_seconds=TIMEOUT_SECONDS) as client:
        answer = await client.post(MESSAGES, json={"messages": [message("hi")]})
        version = answer.headers["memory-version"]
        os.kill(server.pid, signal.SIGSTOP)

        async def get(**headers: str) -> httpx.Response:
            params = {"recent_messages_limit": 1}
            return await client.get(SESSION, params=params, headers=headers)

        late = await get(**{"memory-min-version": version})
        assert (late.status_code, late.json()["code"]) == (504, "version_timeout")
        plain = await get()
        assert (plain.status_code, plain.json()["code"]) == (503, "store_unavailable")
        os.kill(server.pid, signal.SIGCONT)
