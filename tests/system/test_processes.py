"""Two processes on one store: what one writes the other reads."""

import asyncio

from memory_cache import NEWEST, CacheConfig, Tier, open_cache
from support.valkey import ValkeyServer
from support.workers import Worker, judge, message, until_near

STALENESS = 1.0


def calls(server: ValkeyServer) -> dict[str, int]:
    """How often the server ran each command since `reset`, those that scripts ran included."""
    with server.admin as client:
        return {name[8:]: each["calls"] for name, each in client.info("commandstats").items()}


def reset(server: ValkeyServer) -> None:
    """Let the server count from here."""
    with server.admin as client:
        client.config_resetstat()


async def test_own_write_on_another_worker(valkey_url: str) -> None:
    """A write through one worker is read through another at once with its version."""
    async with Worker.started(valkey_url) as writer, Worker.started(valkey_url) as reader:
        for seq in range(200):
            ack = await writer.append("chat", seq)
            read = await reader.recent("chat", 20, ack.version)
            assert read.next == seq + 1
            assert read.texts == [str(each) for each in range(read.start, read.next)]


async def test_bounded_on_another_worker(valkey_url: str) -> None:
    """Without a version, the other worker has it in every read begun T after it, or sooner."""
    async with Worker.started(valkey_url) as writer, Worker.started(valkey_url) as reader:
        acks = [await writer.append("chat", 0)]
        await reader.keep_reading("chat", 20)
        acks += await writer.write("chat", first=1, count=500)
        last = await reader.recent("chat", 20, acks[-1].version)
        reads = await reader.reads("chat")
    assert last.next == 501
    assert len(reads) > 10
    judge(reads, acks, 20, STALENESS)


async def test_deltas_feed_a_ring(valkey: ValkeyServer, valkey_url: str) -> None:
    """A ring takes 1,000 appends of another process as deltas, without one read of the store."""
    async with (
        Worker.started(valkey_url) as writer,
        Worker.started(valkey_url) as reader,
    ):
        acks = [await writer.append("chat", 0)]
        await reader.warm("chat", 20)
        before = await reader.statistics()
        reset(valkey)
        await reader.keep_reading("chat", 20)
        acks += await writer.write("chat", first=1, count=1000)
        last = await reader.recent("chat", 20, acks[-1].version)
        reads = await reader.reads("chat")
        found, after = calls(valkey), await reader.statistics()
    assert last.tier == "near"
    assert last.next == 1001
    assert {read.tier for read in reads} == {"near"}
    judge(reads, acks, 20, STALENESS)
    assert after["deltas"] - before["deltas"] == 1000
    assert after["misses"] == before["misses"]
    # Each append and each fence publishes, once; a script that reads does not.
    assert found["evalsha"] == found["publish"]
    assert found["publish"] - 1000 <= 10, "fences, of both workers"
    assert found["hmget"] <= 2 * 1000 + 1000 // 64 + 1, "two an append, and one that seals"


async def test_one_fence_for_a_thousand(valkey: ValkeyServer, valkey_url: str) -> None:
    """1,000 reads of the newest, at once, of as many hot sessions, send one fence together."""
    # A heartbeat every 20 s: none falls into the test.
    config = CacheConfig(staleness_seconds=60)
    async with open_cache(valkey_url, config=config) as cache:
        sessions = [cache.session(f"s{number}") for number in range(1000)]
        await asyncio.gather(*(session.append(message(0)) for session in sessions))
        await asyncio.gather(*(session.recent(20) for session in sessions))
        await asyncio.gather(*(until_near(session) for session in sessions))
        before = cache.statistics()
        reset(valkey)
        pages = await asyncio.gather(
            *(session.recent(20, consistency=NEWEST) for session in sessions)
        )
        found, after = calls(valkey), cache.statistics()
    assert {page.tier for page in pages} == {Tier.NEAR}
    assert [page.messages for page in pages] == [[message(0)]] * 1000
    assert after.fences - before.fences == 1
    assert found["evalsha"] == found["publish"] == 1
