"""The store is emptied, or demoted, under a cache that holds something of it."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from memory_cache import BOUNDED, NEWEST, CacheConfig, Session, StoreError, Tier, open_cache
from support.valkey import ValkeyServer

WAIT_SECONDS = 10
SAID = {"role": "user", "content": "hello"}


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server that can be put to sleep."""
    with ValkeyServer(config={"enable-debug-command": "yes"}) as running:
        yield running


@pytest.mark.parametrize("_", range(5))
async def test_no_fence_in_flight_hides_a_flush(server: ValkeyServer, _: int) -> None:
    """Of two fences that come back together after a flush neither lets the near cache answer."""
    server.admin.flushall()
    config = CacheConfig(staleness_seconds=3.0, store_timeout_seconds=3.0)
    async with open_cache(server.url, config=config) as cache:
        chat = cache.session("s")
        await chat.append(SAID)
        await _hot(chat)
        flushing = threading.Thread(target=_flush_and_sleep, args=(server,))
        flushing.start()
        await asyncio.sleep(0.1)  # the server is asleep by now; if not, this proves less
        first = asyncio.create_task(chat.recent(5, consistency=NEWEST))
        await asyncio.sleep(0.02)  # its fence has left
        second = asyncio.create_task(chat.recent(5, consistency=NEWEST))
        pages = await asyncio.gather(first, second)
        await asyncio.to_thread(flushing.join)
        assert [page.exists for page in pages] == [False, False]


async def test_a_demoted_server_is_not_read() -> None:
    """Once another server took over, what the old one holds is given to nobody."""
    with ValkeyServer(listen="tcp") as old, ValkeyServer(listen="tcp") as new:
        async with open_cache(old.url, config=CacheConfig(staleness_seconds=0.3)) as cache:
            chat = cache.session("s")
            await chat.append(SAID)
            await _hot(chat)
            await chat.transcript()
            await asyncio.to_thread(_promote, old, new)
            async with open_cache(new.url) as other:
                await other.session("s").append(SAID)
            await asyncio.sleep(0.3)  # T: until then an old answer is as promised
            for consistency in (BOUNDED, NEWEST):
                with pytest.raises(StoreError):
                    await chat.recent(5, consistency=consistency)
            async with asyncio.timeout(WAIT_SECONDS):
                await _refused(chat)
            with pytest.raises(StoreError, match="replica") as refused:
                await chat.append(SAID)
            assert refused.value.applied == "no"


async def test_a_server_promoted_again_is_used_again() -> None:
    """The lanes, of which only one is told, find the primary by themselves."""
    with ValkeyServer(listen="tcp") as server:
        async with open_cache(server.url, config=CacheConfig(staleness_seconds=0.3)) as cache:
            chat = cache.session("s")
            await chat.append([SAID] * 200)
            await chat.transcript()
            server.admin.replicaof("127.0.0.1", "1")
            with pytest.raises(StoreError):
                await chat.append(SAID)
            server.admin.replicaof("NO", "ONE")
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    try:
                        await chat.append(SAID)
                        break
                    except StoreError:
                        await asyncio.sleep(0.01)
            assert (await chat.transcript()).next == 201


async def _hot(chat: Session) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while (await chat.recent(5, consistency=NEWEST)).tier is not Tier.NEAR:
            pass


async def _refused(chat: Session) -> None:
    """Wait until a whole transcript is refused, which goes over the other lane, too."""
    while True:
        try:
            await chat.transcript()
        except StoreError:
            return
        await asyncio.sleep(0.01)


def _flush_and_sleep(server: ValkeyServer) -> None:
    both = server.admin.pipeline(transaction=True)
    both.flushall()
    both.execute_command("DEBUG", "SLEEP", "0.3")  # type: ignore[no-untyped-call]  # theirs
    both.execute()


def _promote(old: ValkeyServer, new: ValkeyServer) -> None:
    where = old.admin.connection_pool.connection_kwargs
    new.admin.replicaof(where["host"], str(where["port"]))
    while new.admin.info("replication").get("master_link_status") != "up":
        pass
    new.admin.replicaof("NO", "ONE")
    old.admin.replicaof("127.0.0.1", "1")
