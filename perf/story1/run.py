"""Story 1, played to both designs in turns, and what came of it."""

import asyncio
import contextlib
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from perf.baselines.breakdown import breakdown
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome
from perf.servers import memory_cache, process, valkey, whole_document
from perf.story1.judge import judge
from perf.story1.pictures import pictures
from perf.story1.plan import FULL, QUICK, Plan
from perf.story1.swarm import Swarm, fresh, percentile, swarm
from perf.story1.talk import Talk

SIDES = {
    "whole document": ("WholeTranscript", "whole"),
    "ours, whole transcript": ("WholeTranscript", "ours"),
    "ours, append": ("Append", "ours"),
}
"""Who plays a turn to whom: a class of users, and a server."""

Times = dict[str, dict[str, dict[int, list[float]]]]
"""Milliseconds by side, method and size of the session."""


@dataclass
class Seen:
    """What was seen, by side; rates are turns a second."""

    plan: Plan
    long: Times = field(default_factory=dict)
    ramp: dict[str, list[list[dict[str, Any]]]] = field(default_factory=lambda: defaultdict(list))
    crowd: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    readers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    paced: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Play all of it, and write pictures and Locust's own reports to the folder."""
    plan = QUICK if quick else FULL
    progress = Progress("story1", plan.steps)
    try:
        async with contextlib.AsyncExitStack() as stack:
            url = await stack.enter_async_context(valkey())
            hosts = {
                "ours": (await stack.enter_async_context(memory_cache(url, plan.workers)))[1],
                "whole": (await stack.enter_async_context(whole_document(url, plan.workers)))[1],
            }
            drain = await stack.enter_async_context(process("-m", "perf.noop", "--drain"))
            hosts["echo"] = f"http://127.0.0.1:{drain[1]}"
            await _awake(hosts)
            seen = await _play(plan, hosts, folder, progress)
            parts = await asyncio.to_thread(
                breakdown, url, [100, 2_000, 10_000][: 1 + 2 * (not quick)]
            )
    finally:
        progress.close()
    outcome = Outcome("Story 1")
    outcome.data = asdict(seen) | {"breakdown of the whole-document design": parts}
    outcome.verdicts = judge(seen.long, seen.ramp, seen.crowd)
    outcome.pictures = await asyncio.to_thread(pictures, seen.long, seen.ramp, seen.crowd, folder)
    outcome.notes = [
        (
            "Clients, servers and store share the processors of one machine: throughput of ours is"
            " bounded by Locust, so ratios of throughput are less than what the servers could do."
        ),
        "The design that was replaced has no append: its clients PUT the whole transcript.",
    ]
    return outcome


async def _awake(hosts: dict[str, str]) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        for host in hosts.values():
            await client.get(f"{host}/v1/health")


async def _play(plan: Plan, hosts: dict[str, str], folder: Path, progress: Progress) -> Seen:
    seen = Seen(plan)
    for turn in range(plan.rounds):
        for name, (user, host) in _in_turn({**SIDES, "bytes only": ("Echo", "echo")}, turn):
            progress.step(f"a growing session: {name}")
            sizes = plan.append_sizes if user == "Append" else plan.sizes
            wanted = ",".join(map(str, sizes))
            found = await swarm(user, hosts[host], sizes=wanted, turns=plan.turns)
            _merge(seen.long, name, found, sizes)
        for name, (user, host) in _in_turn(SIDES, turn):
            progress.step(f"a ramp to {plan.ramp.split(',')[-1].split(':')[0]}: {name}")
            more: dict[str, Any] = {
                "messages": plan.messages,
                "stages": plan.ramp,
                "processes": plan.processes,
            }
            report = folder / f"locust {name}.html"
            found = await swarm(user, hosts[host], report=report, **more)
            seen.ramp[name].append(_stages(found))
    for name, (user, host) in SIDES.items():
        if name == "ours, whole transcript":
            continue
        progress.step(f"a crowd: {name}")
        more = {
            "messages": plan.crowd_messages,
            "stages": plan.crowd,
            "processes": plan.processes,
        }
        seen.crowd[name] = _stages(await swarm(user, hosts[host], **more))
    for name, (user, host) in SIDES.items():
        progress.step(f"at a pace: {name}")
        more = {
            "messages": plan.messages,
            "stages": plan.paced,
            "processes": plan.processes,
        }
        seen.paced[name] = _stages(await swarm(user, hosts[host], pace=plan.pace, **more))
    for name, host in (("whole document", "whole"), ("ours", "ours")):
        progress.step(f"readers: {name}")
        seen.readers[name] = await _readers(plan, hosts[host])
    seen.ramp = dict(seen.ramp)
    return seen


async def _readers(plan: Plan, host: str) -> list[dict[str, Any]]:
    prefix = fresh()
    async with httpx.AsyncClient(base_url=host, timeout=30) as client:
        for number in range(plan.sessions):
            talk = Talk(f"{prefix}-{number}")
            talk.grow(plan.crowd_messages)
            answer = await client.put(talk.path, content=talk.body())
            assert talk.whole_is_right(answer.content), "a wrong answer"
    more: dict[str, Any] = {
        "messages": plan.crowd_messages,
        "sessions": plan.sessions,
        "stages": plan.readers,
    }
    found = await swarm("Reader", host, prefix=prefix, processes=plan.processes, **more)
    return _stages(found)


def _in_turn(sides: dict[str, tuple[str, str]], turn: int) -> list[tuple[str, tuple[str, str]]]:
    pairs = list(sides.items())
    return pairs[turn % len(pairs) :] + pairs[: turn % len(pairs)]


def _merge(long: Times, name: str, found: Swarm, sizes: list[int]) -> None:
    for method in ("PUT", "POST", "GET"):
        for size, times in found.by_size(method, sizes).items():
            kinds = long.setdefault(name, {}).setdefault(method, {})
            kinds.setdefault(size, []).extend(times)


def _stages(found: Swarm) -> list[dict[str, Any]]:
    rows = []
    for number, (_, users) in enumerate(found.stages):
        row: dict[str, Any] = {"users": users}
        for method in ("PUT", "POST", "GET"):
            if times := found.times(number, method):
                row[method] = {
                    "per_second": round(found.rate(number, method), 2),
                    "p50_ms": round(statistics.median(times), 3),
                    "p95_ms": round(percentile(times, 0.95), 3),
                    "p99_ms": round(percentile(times, 0.99), 3),
                }
        rows.append(row)
    return rows
