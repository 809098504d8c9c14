from collections.abc import AsyncIterator

import pytest

from memory_cache import SessionCache, open_cache


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
