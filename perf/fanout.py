"""
What a write costs Redis as workers are added: CPU and bytes, with a fixed number of holders.

With a channel per session a delta goes to the workers that hold the session; with one channel for
all it would go to every worker. The second is played by having every worker listen to the
channels of all sessions, which is the same work for Redis. Reads of no session are in between.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from redis.asyncio import Redis

from memory_cache import CacheConfig, Session, SessionCache, open_cache
from perf.lab.plots import BLUE, VERMILION, Style, draw, log_axes, sheet
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture, Verdict
from perf.servers import valkey

HOLDERS = 2
SESSIONS = 20
ROUNDS = 3
HOT_SECONDS = 10
CONFIG = CacheConfig(staleness_seconds=600, sweep_seconds=600)
STYLES = {
    "session": Style("a channel per session (ours)", BLUE, "o"),
    "global": Style("one channel for all", VERMILION, "s"),
}
MESSAGE = {"role": "user", "content": "x" * 280}


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Measure from few workers to many."""
    counts = [2, 8] if quick else [1, 2, 4, 8, 16, 32, 64]
    writes = 10 if quick else 50
    progress = Progress("fanout", len(counts))
    rows: list[dict[str, Any]] = []
    try:
        for workers in counts:
            async with valkey() as url:
                rows.append({"workers": workers, **await _measure(url, workers, writes)})
            progress.step(f"{workers} workers")
    finally:
        progress.close()
    _draw(rows, folder)
    first, last = rows[0 if quick else 1], rows[-1]
    span = f"{last['workers']} workers / {first['workers']}, {HOLDERS} holders"
    verdicts = []
    for kind, limits in (("session", {"cpu_us": 1.5, "bytes": 1.05}), ("global", {})):
        for what, name in (("cpu_us", "CPU"), ("bytes", "bytes")):
            verdicts.append(
                Verdict(
                    f"Redis {name} per write, {STYLES[kind].label}: {span}",
                    last[kind][what] / first[kind][what],
                    at_most=limits.get(what),
                )
            )
    pictures = [Picture("fanout.png", "What one write costs Redis, as workers are added")]
    return Outcome("Fan-out", verdicts, {"rows": rows}, pictures)


async def _measure(url: str, workers: int, writes: int) -> dict[str, Any]:
    async with contextlib.AsyncExitStack() as stack:
        admin = await stack.enter_async_context(Redis.from_url(url, protocol=2))
        caches = [
            await stack.enter_async_context(open_cache(url, config=CONFIG)) for _ in range(workers)
        ]
        chats = [await _hold(caches, number) for number in range(SESSIONS)]
        found = {"session": await _cost(admin, chats, writes)}
        held = [
            name if isinstance(name, str) else name.decode()
            for name in await admin.pubsub_channels("*chat-*")
        ]
        assert len(held) == SESSIONS, "a channel per session"
        others = workers - min(HOLDERS, workers)
        await stack.enter_async_context(_listening(url, held, others))
        found["global"] = await _cost(admin, chats, writes)
        return found


async def _hold(caches: list[SessionCache], number: int) -> Session:
    """Make a session hot in as many workers as hold one."""
    holders = [caches[(number + n) % len(caches)] for n in range(min(HOLDERS, len(caches)))]
    chats = [cache.session(f"chat-{number}") for cache in holders]
    await chats[0].append(MESSAGE)
    for chat in chats:
        async with asyncio.timeout(HOT_SECONDS):
            while chat.peek(20) is None:
                await chat.recent(20)
    return chats[0]


@contextlib.asynccontextmanager
async def _listening(url: str, channels: list[str], count: int) -> AsyncIterator[None]:
    """Have so many more connections subscribe to all channels, and drop what comes."""
    path = unquote(url.removeprefix("unix://"))
    words = ["SUBSCRIBE", *channels]
    order = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)

    async def drain(reader: asyncio.StreamReader) -> None:
        while await reader.read(65536):
            pass

    writers, tasks = [], []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(order.encode())
            for _ in channels:
                await reader.readuntil(b"subscribe")
            writers.append(writer)
            tasks.append(asyncio.create_task(drain(reader)))
        yield
    finally:
        for writer in writers:
            writer.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _cost(admin: Redis, chats: list[Session], writes: int) -> dict[str, float]:
    """Return Redis CPU (microseconds) and bytes in and out, per append; least of the rounds."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        before = await _counters(admin)
        for _ in range(writes):
            await asyncio.gather(*(chat.append(MESSAGE) for chat in chats))
        after = await _counters(admin)
        for name, value in after.items():
            each = (value - before[name]) / (writes * len(chats))
            best[name] = round(min(best.get(name, each), each), 2)
    return best


async def _counters(admin: Redis) -> dict[str, float]:
    found = await admin.info("everything")
    cpu = found["used_cpu_user"] + found["used_cpu_sys"]
    moved = found["total_net_input_bytes"] + found["total_net_output_bytes"]
    return {"cpu_us": cpu * 1e6, "bytes": moved}


def _draw(rows: list[dict[str, Any]], folder: Path) -> None:
    title = f"One write, {HOLDERS} workers hold the session"
    with sheet(folder / "fanout.png", title, 2) as (left, right):
        log_axes(left, "worker processes", "Redis CPU, µs per write")
        log_axes(right, "worker processes", "bytes in and out per write")
        for kind, style in STYLES.items():
            draw(left, style, {row["workers"]: row[kind]["cpu_us"] for row in rows})
            draw(right, style, {row["workers"]: row[kind]["bytes"] for row in rows})
