"""The checks of `memory_cache.testing`, against the in-memory server and real ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from memory_cache import CacheConfig, open_cache
from memory_cache.testing import (
    BUS_CHECKS,
    STORE_CHECKS,
    Check,
    InMemoryServer,
    InMemoryWorker,
    ManualClock,
    ManualLoop,
    Place,
    check_bus,
    check_store,
)
from support.valkey import ValkeyServer

CHECKS = (*STORE_CHECKS, *BUS_CHECKS)


def in_memory(clock: ManualClock) -> Place:
    """A new in-memory server."""
    server = InMemoryServer(clock)

    @asynccontextmanager
    async def worker(config: CacheConfig) -> AsyncIterator[InMemoryWorker]:
        yield InMemoryWorker(server, config)

    async def flush() -> None:
        server.flush()

    return Place(worker, flush)


def flushed(server: ValkeyServer) -> str:
    """The address of this server, which has lost everything."""
    with server.admin as client:
        client.flushall()
    return server.url


@dataclass(frozen=True)
class Backend:
    """Store and bus of a cache; the types have no public names."""

    store: Any
    bus: Any


def served(server: ValkeyServer) -> Place:
    """A real server, with nothing stored in it."""
    url = flushed(server)

    @asynccontextmanager
    async def worker(config: CacheConfig) -> AsyncIterator[Backend]:
        # With its near cache off a cache leaves its bus to us.
        async with open_cache(url, config=replace(config, near_cache_bytes=0)) as cache:
            parts = cache._parts  # noqa: SLF001  # nothing public gives store and bus
            yield Backend(parts.store, parts.listener._bus)  # noqa: SLF001  # as above

    async def flush() -> None:
        flushed(server)

    return Place(worker, flush)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_in_memory(check: Check) -> None:
    """The in-memory server keeps each promise of the ports."""
    clock = ManualClock()
    with asyncio.Runner(loop_factory=lambda: ManualLoop(clock)) as runner:
        runner.run(check(in_memory(clock)))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_on_a_server(check: Check, any_server: ValkeyServer) -> None:
    """Store and bus on a real server keep each promise of the ports."""
    await check(served(any_server))


def test_all_at_once() -> None:
    """`check_store` and `check_bus` run every check on one server."""
    clock = ManualClock()
    with asyncio.Runner(loop_factory=lambda: ManualLoop(clock)) as runner:
        runner.run(check_store(in_memory(clock)))
        runner.run(check_bus(in_memory(clock)))
