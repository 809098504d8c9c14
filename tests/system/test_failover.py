"""A primary dies with writes that its replica never got, and the replica takes over."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from memory_cache import (
    NEWEST,
    CacheConfig,
    Page,
    Session,
    SessionCache,
    StoreError,
    Tier,
    VersionLostError,
    at_least,
    open_cache,
)
from support.proxy import Proxy
from support.valkey import ValkeyServer
from support.workers import until, until_near

STALENESS = 1.0
KEPT, LOST = 30, 20
WAIT_SECONDS = 15.0
CONFIG = CacheConfig(staleness_seconds=STALENESS, store_timeout_seconds=1.0)


class Pair:
    """A primary behind a proxy, and a replica that hears it through another."""

    def __init__(
        self, primary: ValkeyServer, replica: ValkeyServer, proxy: Proxy, between: Proxy
    ) -> None:
        self.primary = primary
        self.replica = replica
        self.proxy = proxy
        self._between = between

    async def join(self) -> None:
        """Make the replica one, and wait until it has heard the primary."""
        with self.replica.admin as client:
            client.replicaof("127.0.0.1", str(self._between.port))
            await until(lambda: client.info("replication")["master_link_status"] == "up")

    async def cut_replica(self) -> None:
        """Let the replica have everything until now, and nothing from here."""
        with self.primary.admin as primary, self.replica.admin as replica:
            offset = primary.info("replication")["master_repl_offset"]
            await until(lambda: replica.info("replication")["slave_repl_offset"] >= offset)
        for link in self._between.live:
            link.blackhole()

    def promote(self) -> None:
        """Make the replica the primary, for new connections."""
        with self.replica.admin as client:
            client.replicaof("NO", "ONE")
        self.proxy.target = ("127.0.0.1", self.replica.port)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """A primary, and a replica that has caught up."""
    config = {"repl-diskless-sync-delay": "0"}
    with (
        ValkeyServer(listen="tcp", config=config) as primary,
        ValkeyServer(listen="tcp", config=config) as replica,
    ):
        async with (
            Proxy("127.0.0.1", primary.port) as proxy,
            Proxy("127.0.0.1", primary.port) as between,
        ):
            pair = Pair(primary, replica, proxy, between)
            await pair.join()
            yield pair


@asynccontextmanager
async def hot(pair: Pair, session_id: str) -> AsyncIterator[tuple[SessionCache, Session]]:
    """A worker that has a session hot."""
    async with open_cache(pair.proxy.url, config=CONFIG) as cache:
        session = cache.session(session_id)
        await until_near(session)
        yield cache, session


async def append(session: Session, name: str, count: int) -> list[str]:
    """Append messages of one history; the versions."""
    return [
        str((await session.append({"role": "user", "content": f"{name}{at}"})).version)
        for at in range(count)
    ]


async def until_answered(session: Session) -> None:
    """Wait until the store answers again."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await session.transcript()
            except StoreError:
                await asyncio.sleep(0.01)
            else:
                return


def texts(count: int, *names: str) -> list[str]:
    """The texts of the first history, then of the one that followed."""
    return [f"kept{at}" for at in range(KEPT)] + [f"{n}{at}" for n in names for at in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("partitioned", [False, True], ids=["killed", "partitioned"])
async def test_lost_writes(pair: Pair, partitioned: bool) -> None:
    """Lost writes are served for at most T, never mixed with others, and told to who holds them."""
    async with open_cache(pair.primary.url, config=CONFIG) as direct:
        kept = await append(direct.session("chat"), "kept", KEPT)
    await pair.cut_replica()
    async with hot(pair, "chat") as (cache, session):
        async with open_cache(pair.primary.url, config=CONFIG) as direct:
            lost = await append(direct.session("chat"), "lost", LOST)
        page = await session.recent(20, consistency=at_least(lost[-1]))
        assert page.tier is Tier.NEAR
        assert [each["content"] for each in page.messages] == [f"lost{at}" for at in range(LOST)]
        if partitioned:
            for link in pair.proxy.live:
                link.blackhole()
        else:
            pair.primary.kill()
        cut = time.monotonic()
        pair.promote()
        seen = await seen_until(session, cut)
        assert seen <= STALENESS
        await until_answered(session)
        for gone in (lost[0], lost[-1]):
            with pytest.raises(VersionLostError):
                await session.recent(20, consistency=at_least(gone))
        await until_near(session)
        again = await session.recent(60, consistency=at_least(kept[-1]))
        assert [each["content"] for each in again.messages] == texts(0)
        found = cache.statistics()
        assert found.reloaded >= 1
        for link in pair.proxy.live:
            if link.swallows:
                link.close()


async def seen_until(session: Session, cut: float) -> float:
    """Read until the near cache no longer answers; how long after the cut it did."""
    last = 0.0
    while session.peek(20) is not None:
        last = time.monotonic() - cut
        await asyncio.sleep(0)
    return last


@pytest.mark.slow
async def test_fork(pair: Pair) -> None:
    """A new history that grew past the lost one is read whole, by who held the lost one hot."""
    async with open_cache(pair.primary.url, config=CONFIG) as direct:
        await append(direct.session("chat"), "kept", KEPT)
    await pair.cut_replica()
    async with hot(pair, "chat") as (_, session):
        lost = await append(session, "lost", LOST)
        await session.set_fields({"context": "lost"})
        await session.recent(20, consistency=at_least(lost[-1]))
        pair.primary.kill()
        pair.promote()
        async with open_cache(pair.proxy.url, config=CONFIG) as other:
            await other.session("chat").set_fields({"context": "new"})
            new = await append(other.session("chat"), "new", LOST + 5)
        await until_answered(session)
        assert_new(await session.recent(60))
        await until_near(session)
        assert_new(await session.recent(60))
        for version in (new[0], new[-1]):
            assert_new(await session.recent(60, consistency=at_least(version)))
        assert_new(await session.transcript(consistency=NEWEST))
        with pytest.raises(VersionLostError):
            await session.recent(20, consistency=at_least(lost[-1]))


def assert_new(page: Page) -> None:
    """Assert that a page is of the new history, whole, and of no other."""
    assert [each["content"] for each in page.messages] == texts(LOST + 5, "new")
    assert page.fields == {"context": "new"}


@pytest.mark.slow
async def test_lost_session(pair: Pair) -> None:
    """A session whose creation was lost: who holds its version is told, not given an empty one."""
    async with open_cache(pair.proxy.url, config=CONFIG) as cache:
        session = cache.session("young")
        await pair.cut_replica()
        [version] = await append(session, "lost", 1)
        pair.primary.kill()
        pair.promote()
        await until_answered(session)
        assert not (await session.recent(20)).exists
        with pytest.raises(VersionLostError):
            await session.recent(20, consistency=at_least(version))
