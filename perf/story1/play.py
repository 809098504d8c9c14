"""The stages of Story 1, each played to the sides in turn."""

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from perf.lab.progress import Progress
from perf.story1.judge import APPEND, BASE, BYTES, ESTIMATED, NOOP, WHOLE, Stages, Times
from perf.story1.plan import Plan
from perf.story1.swarm import Swarm, fresh, percentile, swarm
from perf.story1.talk import Talk
from perf.tokens import COUNTERS, ESTIMATE, TIKTOKEN

SIDES = {
    BASE: ("WholeTranscript", "whole"),
    WHOLE: ("WholeTranscript", "ours"),
    APPEND: ("Append", "ours"),
}
"""Who plays a turn to whom: a class of users, and a server."""

Hosts = dict[str, str]
"""The address of each server."""


@dataclass
class Seen:
    """
    What was seen, by side (``stored``: by number of sessions); rates are turns a second.

    ``ramp`` is by token counter, and by side then. In the rest tokens are counted by tiktoken, but
    for one side of ``long``, which says so.
    """

    plan: Plan
    long: Times = field(default_factory=dict)
    ramp: dict[str, dict[str, list[Stages]]] = field(default_factory=dict)
    crowd: dict[str, Stages] = field(default_factory=dict)
    stored: dict[int, Stages] = field(default_factory=dict)
    readers: dict[str, Stages] = field(default_factory=dict)
    paced: dict[str, Stages] = field(default_factory=dict)


async def rounds(seen: Seen, hosts: dict[str, Hosts], folder: Path, progress: Progress) -> None:
    """Play what is played several times; servers are by token counter."""
    seen.ramp = {counter: {name: [] for name in SIDES} for counter in COUNTERS}
    for turn in range(seen.plan.rounds):
        await _growing(seen, hosts, turn, progress)
        for counter in COUNTERS:
            for name, (user, host) in _in_turn(SIDES, turn):
                last = seen.plan.ramp.split(",")[-1].partition(":")[0]
                progress.step(f"a ramp to {last}, {counter}: {name}")
                more: dict[str, Any] = {
                    "messages": seen.plan.messages,
                    "stages": seen.plan.ramp,
                    "processes": seen.plan.processes,
                    "report": folder / f"locust {counter} {name}.html",
                }
                found = await swarm(user, hosts[counter][host], **more)
                seen.ramp[counter][name].append(_stages(found))


async def _growing(seen: Seen, hosts: dict[str, Hosts], turn: int, progress: Progress) -> None:
    sides = {
        **{name: (user, hosts[TIKTOKEN][host]) for name, (user, host) in SIDES.items()},
        ESTIMATED: ("WholeTranscript", hosts[ESTIMATE]["whole"]),
        BYTES: ("Echo", hosts[TIKTOKEN]["echo"]),
    }
    for name, (user, host) in _in_turn(sides, turn):
        progress.step(f"a growing session: {name}")
        sizes = seen.plan.append_sizes if name == APPEND else seen.plan.sizes
        wanted = ",".join(map(str, sizes))
        found = await swarm(user, host, sizes=wanted, turns=seen.plan.turns)
        _merge(seen.long, name, found, sizes)


async def crowds(seen: Seen, hosts: Hosts, progress: Progress) -> None:
    """Many users with a session each; then few users with one each, and with many."""
    plan = seen.plan
    more: dict[str, Any] = {"messages": plan.crowd_messages, "processes": plan.processes}
    floors = {NOOP: ("NoOp", "no-op"), BYTES: ("Echo", "echo")}
    for name, (user, host) in (SIDES | floors).items():
        progress.step(f"a crowd: {name}")
        # Only what sends everything depends on the size: to fill a new one costs it one turn more.
        renew = plan.renew if user in {"WholeTranscript", "Echo"} else 0
        found = await swarm(user, hosts[host], stages=plan.crowd, renew=renew, **more)
        seen.crowd[name] = _stages(found)
    users = int(plan.stored_users.split(":")[0])
    for each in (1, plan.sessions // users):
        progress.step(f"{users * each} sessions stored")
        found = await swarm("Append", hosts["ours"], stages=plan.stored_users, each=each, **more)
        seen.stored[users * each] = _stages(found)


async def pace(seen: Seen, hosts: Hosts, progress: Progress) -> None:
    """Turns that are due at a constant pace."""
    more: dict[str, Any] = {
        "messages": seen.plan.messages,
        "stages": seen.plan.paced,
        "processes": seen.plan.processes,
        "pace": seen.plan.pace,
    }
    for name, (user, host) in SIDES.items():
        progress.step(f"at a pace: {name}")
        seen.paced[name] = _stages(await swarm(user, hosts[host], **more))


async def read(seen: Seen, hosts: Hosts, progress: Progress) -> None:
    """Sessions that nobody changes, read in a Zipf order."""
    plan = seen.plan
    for name, host in ((BASE, hosts["whole"]), ("ours", hosts["ours"])):
        progress.step(f"readers: {name}")
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
            "processes": plan.processes,
        }
        seen.readers[name] = _stages(await swarm("Reader", host, prefix=prefix, **more))


def _in_turn(sides: dict[str, tuple[str, str]], turn: int) -> list[tuple[str, tuple[str, str]]]:
    pairs = list(sides.items())
    return pairs[turn % len(pairs) :] + pairs[: turn % len(pairs)]


def _merge(long: Times, name: str, found: Swarm, sizes: list[int]) -> None:
    for method in ("PUT", "POST", "GET"):
        for size, times in found.by_size(method, sizes).items():
            kinds = long.setdefault(name, {}).setdefault(method, {})
            kinds.setdefault(size, []).extend(times)


def _stages(found: Swarm) -> Stages:
    rows = []
    for number, (_, users) in enumerate(found.stages):
        row: dict[str, Any] = {"users": users, "locust_processors": found.processors(number)}
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
