from collections.abc import AsyncIterator

import pytest

from memory_cache import Session, SessionCache, open_cache


@pytest.fixture
async def cache(valkey_url: str) -> AsyncIterator[SessionCache]:
    """A cache over an empty Valkey."""
    async with open_cache(valkey_url) as cache:
        yield cache


@pytest.fixture
async def other_cache(valkey_url: str) -> AsyncIterator[SessionCache]:
    """A second cache over the same Valkey; two in one process stand for two workers."""
    async with open_cache(valkey_url) as other:
        yield other


@pytest.fixture
async def any_cache(any_server_url: str) -> AsyncIterator[SessionCache]:
    """A cache over an empty Valkey, then over an empty Redis."""
    async with open_cache(any_server_url) as cache:
        yield cache


@pytest.fixture
def chat(cache: SessionCache) -> Session:
    """A handle of a session that does not exist."""
    return cache.session("chat", namespace="acme", user_id="u7")
