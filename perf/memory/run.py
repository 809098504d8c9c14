"""Memory, in Redis (embedded and stock) and in the near cache."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from memory_cache import CacheConfig, open_cache
from perf.lab.plots import (
    BLUE,
    GREEN,
    GREY,
    VERMILION,
    Style,
    bars,
    decades,
    draw,
    log_axes,
    sheet,
)
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture, Verdict
from perf.memory.reads import LENGTHS, hot_reads
from perf.memory.sizes import bare, messages
from perf.memory.stored import stored
from perf.servers import child, redis_server, stock_redis, valkey

MIB = 1024 * 1024
FIXED_BYTES = 1_700
Shape = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
KINDS: dict[str, tuple[int, Shape]] = {
    "long": (2_000, list),
    "short": (4, list),
    "short, bare": (4, bare),
}
"""Messages in the sessions that the near cache is filled with, and their shape."""


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Measure all of it."""
    lengths = [20, 100, 1_000] if quick else [20, 100, 1_000, 10_000, 50_000]
    program = stock_redis()
    progress = Progress("memory", 3 + len(KINDS) * 2)
    outcome = Outcome("Memory")
    try:
        found: dict[str, Any] = {}
        servers = {"embedded": valkey()} | ({"stock": redis_server(program)} if program else {})
        for name, server in servers.items():
            progress.step(f"Redis, {name}")
            async with server as url:
                found[name] = await stored(url, lengths, 300 if quick else 3_000)
                async with Redis.from_url(url, protocol=2) as admin:
                    found[name]["allocator"] = (await admin.info("memory"))["mem_allocator"]
        outcome.data["redis"] = found
        outcome.data["near"] = await _near(progress, quick=quick)
        progress.step("hot reads")
        outcome.data["hot reads"], left_out = await hot_reads(quick=quick)
        outcome.notes += left_out
    finally:
        progress.close()
    outcome.verdicts = _judge(outcome.data)
    _draw(outcome.data, folder)
    outcome.pictures = [
        Picture("redis.png", "Bytes in Redis per byte of messages, log-normal sizes"),
        Picture("near.png", "The near cache's budget against the memory of the process"),
        Picture("hot.png", "A hot read, as sessions get more and longer"),
    ]
    if program is None:
        outcome.notes.append("No redis-server on this machine: the stock Redis was not measured.")
    return outcome


async def _near(progress: Progress, *, quick: bool) -> list[dict[str, Any]]:
    rows = []
    budget = (4 if quick else 32) * MIB
    for kind, (length, shape) in KINDS.items():
        async with valkey() as url:
            progress.step(f"near cache, {kind} sessions")
            # A short session is charged some 4 KiB, a message some 400 bytes.
            sessions = budget * 2 // max(length * 350, 3_500)
            await _fill(url, sessions, shape(messages(length, 1)))
            rows.append({"kind": kind, "length": length, **await _child(url, budget, sessions)})
            progress.step()
    return rows


async def _fill(url: str, sessions: int, many: list[dict[str, Any]]) -> None:
    async with open_cache(url, config=CacheConfig(near_cache_bytes=0)) as cache:
        for at in range(0, sessions, 50):
            await asyncio.gather(
                *(
                    cache.session(f"near-{number}").append(many)
                    for number in range(at, min(at + 50, sessions))
                )
            )


async def _child(url: str, budget: int, sessions: int) -> dict[str, Any]:
    words = ("-m", "perf.memory.near", url, str(budget), str(sessions))
    async with child(sys.executable, *words) as running:
        printed, _ = await running.communicate()
        if running.returncode:
            raise RuntimeError("the near cache could not be measured")
        found: dict[str, Any] = json.loads(printed)
        return found


def _judge(data: dict[str, Any]) -> list[Verdict]:
    verdicts = []
    for name, at_most in (("embedded", 1.03), ("stock", 1.12)):
        for row in data["redis"].get(name, {"long": []})["long"]:
            if row["messages"] >= 1_000:
                claim = f"Redis bytes / raw JSON, {row['messages']:,} messages, {name}"
                verdicts.append(Verdict(claim, row["ours_ratio"], at_most=at_most))
                verdicts.append(Verdict(f"{claim}, role and content alone", row["bare_ratio"]))
        if name in data["redis"]:
            short = data["redis"][name]["short"]
            claim = f"fixed bytes of a session of {short['messages']} messages, {name}"
            verdicts.append(Verdict(claim, short["ours_beside_raw"], at_most=FIXED_BYTES))
            claim = f"the same, one document, {name}"
            verdicts.append(Verdict(claim, short["whole_beside_raw"]))
            claim = f"the same, role and content alone, {name}"
            verdicts.append(Verdict(claim, short["bare_beside_raw"], at_most=FIXED_BYTES))
    for row in data["near"]:
        claim = f"near cache, {row['kind']} sessions: resident growth / budget"
        verdicts.append(Verdict(claim, row["ratio_to_budget"], at_most=1.3))
    return verdicts + _judge_reads(data["hot reads"])


def _judge_reads(us: dict[str, dict[int, float]]) -> list[Verdict]:
    many, long = us["sessions"], us["length"]
    few, longest = min(many), max(long)
    return [
        Verdict(f"hot read with {max(many):,} hot sessions / with {few}",
                many[max(many)] / many[few]),
        Verdict(f"hot read of the last 20 of {longest:,} messages / of {LENGTHS[1]}",
                long[longest] / long[LENGTHS[1]], at_most=1.05),
    ]  # fmt: skip


def _draw(data: dict[str, Any], folder: Path) -> None:
    styles = {
        ("embedded", "ours"): Style("memory-cache, libc", BLUE, "o"),
        ("stock", "ours"): Style("memory-cache, jemalloc", GREEN, "^"),
        ("embedded", "whole"): Style("one document, libc", VERMILION, "s"),
        ("stock", "whole"): Style("one document, jemalloc", GREY, "x", ":"),
    }
    with sheet(folder / "redis.png", "Redis memory per byte of messages") as (axes,):
        decades(axes, "messages in the session")
        axes.set_ylabel("bytes in Redis / bytes of raw JSON")
        for (server, kind), style in styles.items():
            if server in data["redis"]:
                rows = [data["redis"][server]["short"], *data["redis"][server]["long"]]
                draw(axes, style, {row["messages"]: row[f"{kind}_ratio"] for row in rows})
        axes.axhline(1, color="#bbbbbb", linewidth=1)
    with sheet(folder / "near.png", "Near cache: what was allowed, and what it took") as (axes,):
        names, values, colors = [], [], []
        for row in data["near"]:
            for name, color in (("budget", GREY), ("bytes_held", GREEN), ("resident_growth", BLUE)):
                names.append(f"{row['kind']}: {name.replace('_', ' ')}")
                values.append(row[name] / MIB)
                colors.append(color)
        bars(axes, names, values, colors)
        axes.set_xlabel("MiB")
    title = "A hot read of the last 20, through the library"
    with sheet(folder / "hot.png", title, 2) as (left, right):
        log_axes(left, "hot sessions, read in turn", "microseconds")
        log_axes(right, "messages in the session", "microseconds")
        for axes, name in ((left, "sessions"), (right, "length")):
            draw(axes, Style("", BLUE, "o"), data["hot reads"][name])
        for axes in (left, right):
            axes.set_ylim(0.5, 20)
