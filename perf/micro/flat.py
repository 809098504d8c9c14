"""
Is it flat? Append and hot recent-20 through the library at 100, 1,000 and 100,000 messages.

    python -m perf.micro.flat [--rounds 7] [--json]

The sizes take turns within each round, so a noisy machine disturbs all of them alike; what is
compared are medians of one run. Redis commands and bytes are counted by the server itself, over
64 appends (one block, so that one sealing is in it). Answers are checked. Exit code 1: a count
differs between sizes.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from redis.asyncio import Redis

from memory_cache import CacheConfig, Session, SessionCache, open_cache
from perf.servers import valkey

SIZES = (100, 1_000, 100_000)
APPENDS = 64
READS = 2_000
TEXT = "x" * 280
HOT_SECONDS = 10
DIGITS_BYTES = 64
"""By so much an append may differ: the numbers of a longer session have more digits."""


@dataclass
class Row:
    """What was seen at one size: microseconds per call, and counts per append or read."""

    size: int
    append_us: list[float] = field(default_factory=list)
    recent_us: list[float] = field(default_factory=list)
    append_commands: float = 0
    append_bytes: float = 0
    recent_commands: float = 0


def message(seq: int) -> dict[str, str]:
    """Return a message that says where it stands."""
    return {"role": "user", "content": f"{seq:09d} {TEXT}"}


async def fill(chat: Session, size: int) -> None:
    """Make a session of ``size`` messages, hot in this process."""
    for at in range(0, size, 1_000):
        await chat.append([message(seq) for seq in range(at, min(at + 1_000, size))])
    # Before the first fence is back, nothing is hot.
    async with asyncio.timeout(HOT_SECONDS):
        while chat.peek(20) is None:
            await chat.recent(20)


async def appends(chat: Session) -> None:
    """Append a block's worth of messages, one by one."""
    start = (await chat.recent(1)).next
    for seq in range(start, start + APPENDS):
        change = await chat.append(message(seq))
        assert change.end == seq + 1, "an append landed elsewhere"


async def reads(chat: Session) -> None:
    """Read the last twenty, from the near cache."""
    for _ in range(READS):
        page = await chat.recent(20)
    assert [int(m["content"][:9]) for m in page.messages] == list(range(page.next - 20, page.next))


async def timed(work: Awaitable[None], calls: int) -> float:
    """Return the microseconds per call."""
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) / calls * 1e6


async def counted(
    admin: Redis, work: Callable[[], Awaitable[None]], calls: int
) -> tuple[float, float]:
    """Return Redis commands (those inside scripts too) and bytes in and out, per call."""
    await admin.config_resetstat()
    await work()
    stats = await admin.info("stats")
    commands = await admin.info("commandstats")
    total = sum(stat["calls"] for name, stat in commands.items() if name not in _ASKING)
    return total / calls, (stats["total_net_input_bytes"] + stats["total_net_output_bytes"]) / calls


_ASKING = {"cmdstat_info", "cmdstat_config|resetstat"}
"""The questions of ``counted`` itself, and the one that every change asks once."""


async def measure(
    cache: SessionCache, admin: Redis, rounds: int, sizes: Sequence[int]
) -> list[Row]:
    """Fill a session per size, let them take turns, and count at the end."""
    rows = [Row(size) for size in sizes]
    chats = {row.size: cache.session(f"flat-{row.size}") for row in rows}
    for done, (size, chat) in enumerate(chats.items(), 1):
        await fill(chat, size)
        progress(f"filled {done} of {len(chats)} sessions")
    for turn in range(rounds):
        for row in rows:
            chat = chats[row.size]
            row.append_us.append(await timed(appends(chat), APPENDS))
            row.recent_us.append(await timed(reads(chat), READS))
        progress(f"round {turn + 1} of {rounds}")
    for row in rows:
        chat = chats[row.size]
        row.append_commands, row.append_bytes = await counted(
            admin, partial(appends, chat), APPENDS
        )
        row.recent_commands, _ = await counted(admin, partial(reads, chat), READS)
    return rows


def progress(text: str) -> None:
    """Say on stderr where we are, if somebody looks."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def report(rows: list[Row]) -> dict[str, object]:
    """Return medians, ratios against the shortest session, and whether the counts are equal."""
    base = rows[0]
    table = [
        {
            "messages": row.size,
            "append_us": round(statistics.median(row.append_us), 1),
            "append_ratio": _ratio(row.append_us, base.append_us),
            "append_commands": round(row.append_commands, 2),
            "append_bytes": round(row.append_bytes),
            "recent_us": round(statistics.median(row.recent_us), 2),
            "recent_ratio": _ratio(row.recent_us, base.recent_us),
            "recent_commands": row.recent_commands,
        }
        for row in rows
    ]
    equal = all(
        row.append_commands == base.append_commands
        and row.recent_commands == base.recent_commands
        and abs(row.append_bytes - base.append_bytes) <= DIGITS_BYTES
        for row in rows
    )
    return {"rows": table, "counts_equal": equal}


def _ratio(these: list[float], base: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(these, base, strict=True)), 3)


async def run(rounds: int, sizes: Sequence[int] = SIZES) -> dict[str, object]:
    """Measure against a fresh Valkey; the lease is long, so that no fence is counted."""
    async with (
        valkey() as url,
        open_cache(url, config=CacheConfig(staleness_seconds=600)) as cache,
    ):
        admin = Redis.from_url(url, protocol=2)
        try:
            return report(await measure(cache, admin, rounds, sizes))
        finally:
            await admin.aclose()


def main() -> int:
    """Run, print, and say by the exit code whether the counts are equal."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of all sizes (default 7)")
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args()
    found = asyncio.run(run(options.rounds))
    progress("")
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        rows = found["rows"]
        assert isinstance(rows, list), "a table"
        print("  ".join(f"{name:>15}" for name in rows[0]))
        for row in rows:
            print("  ".join(f"{value:>15}" for value in row.values()))
        print("counts equal at all sizes" if found["counts_equal"] else "COUNTS DIFFER")
    return 0 if found["counts_equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
