"""Story 1, played to both designs in turns, and what came of it."""

import asyncio
import contextlib
import json
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture, Verdict
from perf.servers import memory_cache, process, valkey, whole_document
from perf.story1.judge import judge_crowd, judge_pace, judge_ramp, judge_size
from perf.story1.pictures import picture_size, picture_users
from perf.story1.plan import FULL, QUICK, Plan
from perf.story1.swarm import Swarm, fresh, percentile, swarm
from perf.story1.talk import LAST, Talk

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
    """What was seen, by side (``stored``: by number of sessions); rates are turns a second."""

    plan: Plan
    long: Times = field(default_factory=dict)
    ramp: dict[str, list[list[dict[str, Any]]]] = field(default_factory=lambda: defaultdict(list))
    crowd: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    stored: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
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
            answer = folder / "no-op.json"
            await asyncio.to_thread(answer.write_text, json.dumps(_answer()))
            same = await stack.enter_async_context(process("-m", "perf.noop", str(answer)))
            hosts["no-op"] = f"http://127.0.0.1:{same[1]}"
            await _awake(hosts)
            seen = await _play(plan, hosts, folder, progress)
    finally:
        progress.close()
    outcome = Outcome("Story 1")
    outcome.data = asdict(seen)
    outcome.verdicts = [
        *judge_size(seen.long),
        *judge_ramp(seen.ramp),
        *judge_crowd(seen.crowd, seen.stored),
        *judge_pace(seen.paced, plan.pace),
        Verdict(
            "readers, Zipf order: GETs/s, ours / whole document",
            seen.readers["ours"][-1]["GET"]["per_second"]
            / seen.readers["whole document"][-1]["GET"]["per_second"],
        ),
    ]
    outcome.pictures = await asyncio.to_thread(_pictures, seen, folder)
    outcome.notes = [
        (
            "Clients, servers and store share the processors of one machine: throughput of ours is"
            " bounded by Locust, so ratios of throughput are less than what the servers could do."
        ),
        "The design that was replaced has no append: its clients PUT the whole transcript.",
    ]
    return outcome


def _pictures(seen: Seen, folder: Path) -> list[Picture]:
    users = picture_users(seen.ramp, seen.crowd, seen.paced, seen.plan.pace, folder)
    return picture_size(seen.long, folder) + users


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
                "processes": plan.ramp_processes,
            }
            report = folder / f"locust {name}.html"
            found = await swarm(user, hosts[host], report=report, **more)
            seen.ramp[name].append(_stages(found))
    await _crowds(plan, hosts, seen, progress)
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


async def _crowds(plan: Plan, hosts: dict[str, str], seen: Seen, progress: Progress) -> None:
    """Many users with a session each; then few users with one each, and with many."""
    more: dict[str, Any] = {"messages": plan.crowd_messages, "processes": plan.processes}
    for name, (user, host) in {**SIDES, "no-op": ("NoOp", "no-op")}.items():
        progress.step(f"a crowd: {name}")
        seen.crowd[name] = _stages(await swarm(user, hosts[host], stages=plan.crowd, **more))
    users = int(plan.stored_users.split(":")[0])
    for each in (1, plan.sessions // users):
        progress.step(f"{users * each} sessions stored")
        found = await swarm("Append", hosts["ours"], stages=plan.stored_users, each=each, **more)
        seen.stored[users * each] = _stages(found)


def _answer() -> dict[str, Any]:
    """Return what the no-op sends: as many bytes as a read of the last twenty."""
    talk = Talk("no-op")
    body = talk.grow(LAST).decode()
    headers = [["content-type", "application/json"], ["content-length", str(len(body))]]
    return {"headers": headers, "body": body}


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
