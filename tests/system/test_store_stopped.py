"""The store stops answering, and comes back: what the library says meanwhile."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from memory_cache import CacheConfig, Session, SessionCache, StoreError, Tier, open_cache
from support.valkey import ValkeyServer
from support.workers import message, until_near

STALENESS = 1.0
TIMEOUT = 1.0
# A fence that does not come back, then a call that does not; the rest is a slow machine's.
BOUND = STALENESS + TIMEOUT + 1.0


@pytest.fixture
def durable() -> Iterator[ValkeyServer]:
    """A store of this test's own that keeps what it acknowledged."""
    with ValkeyServer(config={"appendonly": "yes", "appendfsync": "always"}) as server:
        yield server


@pytest.fixture
async def cache(durable: ValkeyServer) -> AsyncIterator[SessionCache]:
    """A cache on it."""
    config = CacheConfig(
        staleness_seconds=STALENESS, store_timeout_seconds=TIMEOUT, connect_timeout_seconds=0.5
    )
    async with open_cache(durable.url, config=config) as cache:
        yield cache


async def last_near(session: Session) -> float:
    """Read until the store's absence shows; when the last answer of the near cache began."""
    last = 0.0
    while True:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(BOUND):
                page = await session.recent(20)
        except StoreError:
            return last
        assert page.tier is Tier.NEAR
        last = begun
        await asyncio.sleep(0.002)


async def refused(session: Session) -> StoreError:
    """Try to append; the error, which came in time."""
    async with asyncio.timeout(BOUND):
        with pytest.raises(StoreError) as raised:
            await session.append(message(99))
    return raised.value


async def applied_at_most_once(session: Session, first: int, tried: int) -> None:
    """Assert that what was there is there, and of what was tried each at most once."""
    texts = [each["content"] for each in (await session.transcript()).messages]
    assert texts[:first] == [str(seq) for seq in range(first)]
    assert set(texts[first:]) <= {"99"}
    assert len(texts) <= first + tried


@pytest.mark.slow
async def test_silent(durable: ValkeyServer, cache: SessionCache) -> None:
    """A store that hangs: hot reads for at most T, then errors in time; it recovers by itself."""
    session, other = cache.session("chat"), cache.session("other")
    await session.append([message(seq) for seq in range(5)])
    await until_near(session)
    os.kill(durable.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        assert 0 < await last_near(session) - stopped <= STALENESS
        errors = [await refused(each) for each in (session, other, session)]
        assert {error.applied for error in errors} <= {"no", "unknown"}
        for consistent in (session.transcript(), session.recent(5)):
            with pytest.raises(StoreError):
                await consistent
    finally:
        os.kill(durable.pid, signal.SIGCONT)
    await until_near(session)
    await applied_at_most_once(session, 5, 2)
    await session.append(message(7))


@pytest.mark.slow
async def test_silent_during_a_write(durable: ValkeyServer, cache: SessionCache) -> None:
    """A write that had left when the store hung is `unknown`; one that could not leave is `no`."""
    session = cache.session("chat")
    await session.append([message(seq) for seq in range(5)])
    os.kill(durable.pid, signal.SIGSTOP)
    try:
        assert (await refused(session)).applied == "unknown"
        # The next may leave on the connection that is just being given up; then none can.
        later = [(await refused(session)).applied for _ in range(3)]
    finally:
        os.kill(durable.pid, signal.SIGCONT)
    assert later[1:] == ["no", "no"]
    await until_near(session)
    await applied_at_most_once(session, 5, 1 + later.count("unknown"))


async def test_gone(durable: ValkeyServer, cache: SessionCache) -> None:
    """A store that ended: errors at once, nothing applied; after its start all is as it was."""
    session = cache.session("chat")
    await session.append([message(seq) for seq in range(5)])
    await until_near(session)
    durable.kill()
    assert await last_near(session) <= time.monotonic()
    begun = time.monotonic()
    errors = [await refused(session) for _ in range(3)]
    assert time.monotonic() - begun < BOUND
    assert {error.applied for error in errors[1:]} == {"no"}
    durable.start()
    await until_near(session)
    await applied_at_most_once(session, 5, 0)
    change = await session.append(message(5))
    assert (change.start, change.end) == (5, 6)
