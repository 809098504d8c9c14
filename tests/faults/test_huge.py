from pathlib import Path

import pytest

from memory_cache import CacheConfig, Session, open_cache
from memory_cache.testing.faults.resp import ask, info
from memory_cache.testing.faults.store import Store

HUGE, SHORT = 1_000_000, 640
"""Both end with a sealed block, and have another before it."""

SLICE = 5000
READS = 100
LAST = 20
BLOCKS = 2
"""In which the last 20 may be."""

SERVER_MICROSECONDS = 20_000


def counted(stats: dict[str, str], field: str) -> dict[str, int]:
    """A figure of each command, by the command's name."""
    pairs = {
        name.removeprefix("cmdstat_"): dict(pair.split("=") for pair in line.split(","))
        for name, line in stats.items()
    }
    return {name: int(pair[field]) for name, pair in pairs.items() if "config" not in name}


async def filled(session: Session, count: int) -> None:
    """Append so many messages."""
    for at in range(0, count, SLICE):
        end = min(at + SLICE, count)
        # Of one length, so that only their number differs.
        messages = [{"role": "user", "content": f"{seq:07}"} for seq in range(at, end)]
        await session.append(messages)


async def costs(session: Session, port: int) -> tuple[dict[str, int], int]:
    """What reads of the newest cost the server: commands by name, and bytes sent."""
    await session.recent(LAST)
    await ask(port, ("CONFIG", "RESETSTAT"))
    for _ in range(READS):
        page = await session.recent(LAST)
        assert len(page.bodies) == LAST
    sent = int((await info(port, "stats"))["total_net_output_bytes"])
    return counted(await info(port, "commandstats"), "calls"), sent


@pytest.mark.slow
async def test_a_million_messages(tmp_path: Path) -> None:
    """The newest of 1,000,000 messages cost what those of 640 do; a delete holds nobody up."""
    off = CacheConfig(near_cache_bytes=0)
    async with (
        Store.running(tmp_path / "store") as store,
        open_cache(f"redis://127.0.0.1:{store.port}", config=off) as cache,
    ):
        huge, short = cache.session("huge"), cache.session("short")
        await filled(huge, HUGE)
        await filled(short, SHORT)
        calls, sent = await costs(huge, store.port)
        short_calls, short_sent = await costs(short, store.port)
        assert calls.pop("info", 0) == short_calls.pop("info", 0)
        # What is larger than one answer may be is measured block by block before it is read.
        assert calls.pop("hstrlen", 0) <= 2 * BLOCKS * READS
        # And whether it has as many fields as its header claims blocks.
        assert calls.pop("hlen", 0) <= READS
        assert calls == short_calls
        # Seqs and sizes have some digits more.
        assert sent <= 1.02 * short_sent
        await ask(store.port, ("CONFIG", "RESETSTAT"))
        await huge.delete()
        taken = counted(await info(store.port, "commandstats"), "usec")
        assert max(taken.values()) < SERVER_MICROSECONDS
        assert not (await huge.recent(1)).exists
