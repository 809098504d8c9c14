"""
The whole-document design as we wrote it, beside the server that it stands for.

The figures of redis/agent-memory-server are those that its own code gave on the machine on which
this lab was written, with Redis Stack. Only there is a ratio to them one of like with like. That
machine had no network: what tokens it counted it estimated.
"""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import httpx

from perf.baselines.breakdown import COUNTS, GET_STEPS, PUT_STEPS, breakdown
from perf.lab.plots import BLUE, GREEN, GREY, SKY, VERMILION, YELLOW, sheet, stack
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture, Verdict
from perf.servers import valkey, whole_document
from perf.story1.swarm import swarm
from perf.story1.talk import LAST, Talk
from perf.tokens import COUNTERS, see_counted

Times = dict[int, dict[str, float]]
"""Milliseconds by messages in the session, and method."""
THEIRS_MS: Times = {10: {"GET": 2.7, "PUT": 2.6}, 10_000: {"GET": 86.0, "PUT": 343.0}}
"""Milliseconds of redis/agent-memory-server, by messages in the session."""
THEIRS_PER_SECOND = 26
"""Its requests a second with 25 sessions of 2,000 messages."""
COUNT = "count tokens"
COLORS = {
    "parse and validate": VERMILION,
    COUNT: GREEN,
    "serialise": BLUE,
    "Redis": GREY,
    "sort": YELLOW,
    f"serialise {LAST}": SKY,
}


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Measure it over HTTP and by its parts, with either token counter."""
    progress = Progress("baseline", 1 + 2 * len(COUNTERS))
    users, messages, seconds = (4, 200, 2) if quick else (25, 2_000, 10)
    outcome = Outcome("The whole-document design")
    times: dict[str, Times] = {}
    rates: dict[str, float] = {}
    try:
        async with valkey() as url:
            progress.step("its parts")
            sizes = [100, 1_000] if quick else [100, 2_000, 10_000]
            parts = await asyncio.to_thread(breakdown, url, sizes)
            for counter in COUNTERS:
                progress.step(f"one session, {counter}")
                async with whole_document(url, counter=counter) as (_, host):
                    await see_counted(host, counter)
                    rounds = 5 if quick else 30
                    times[counter] = {size: await _calls(host, size, rounds) for size in THEIRS_MS}
                progress.step(f"{users} sessions, {counter}")
                async with whole_document(url, workers=2, counter=counter) as (_, host):
                    await see_counted(host, counter)
                    found = await swarm("WholeTranscript", host, messages=messages,
                                        stages=f"{users}:{seconds}", processes=2)  # fmt: skip
                    rates[counter] = found.rate(0, "PUT") + found.rate(0, "GET")
    finally:
        progress.close()
    outcome.data = {"parts_ms": parts, "ms": times, "requests_per_second": rates}
    outcome.verdicts = _judge(times)
    of = f"{users} sessions of {messages:,} messages, requests a second"
    at_least = None if quick else THEIRS_PER_SECOND
    outcome.verdicts += [
        Verdict(f"{of}, {counter}", rate, at_least=at_least) for counter, rate in rates.items()
    ]
    _draw(parts, folder)
    outcome.pictures = [Picture("profile.png", "Where the whole-document design spends its time")]
    outcome.notes = [
        "Targets are what redis/agent-memory-server was measured at: this is no slower.",
        "That was without a network, so that it cannot have counted by tiktoken.",
    ]
    return outcome


async def _calls(host: str, size: int, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of a PUT and of a GET of the last twenty, answers checked."""
    talk = Talk("baseline")
    talk.grow(size)
    body, query = talk.body(), f"{talk.path}?{talk.scope}&recent_messages_limit={LAST}"
    seen: dict[str, list[float]] = {"PUT": [], "GET": []}
    async with httpx.AsyncClient(base_url=host, timeout=30) as client:
        for _ in range(rounds):
            began = time.perf_counter()
            answer = await client.put(talk.path, content=body)
            seen["PUT"].append(time.perf_counter() - began)
            assert talk.whole_is_right(answer.content), "a wrong answer"
            began = time.perf_counter()
            answer = await client.get(query)
            seen["GET"].append(time.perf_counter() - began)
            assert talk.last_is_right(answer.content), "a wrong answer"
    return {name: round(statistics.median(each) * 1e3, 3) for name, each in seen.items()}


def _judge(times: dict[str, Times]) -> list[Verdict]:
    names = {"GET": f"GET of the last {LAST}", "PUT": "PUT of everything"}
    return [
        Verdict(f"{name}, {size:,} messages, {counter}, ms", seen[size][method],
                at_most=theirs[method])
        for counter, seen in times.items()
        for method, name in names.items()
        for size, theirs in THEIRS_MS.items()
    ]  # fmt: skip


def _draw(parts: list[dict[str, Any]], folder: Path) -> None:
    with sheet(folder / "profile.png", "The whole-document design: where time goes", 2) as axes:
        put, get = axes
        put.set_title("PUT", fontsize=11)
        bars = [(row, counted) for row in parts for counted in COUNTS.values()]
        names = [f"{row['messages']:,} {counter}" for row in parts for counter in COUNTERS]
        kinds = [step for step in PUT_STEPS if step not in COUNTS.values()]
        times = {_part(step): [row[step] for row, _ in bars] for step in kinds}
        stack(put, names, times | {COUNT: [row[counted] for row, counted in bars]}, COLORS)
        get.set_title(f"GET of the last {LAST}", fontsize=11)
        names = [f"{row['messages']:,}" for row in parts]
        stack(get, names, {_part(step): [row[step] for row in parts] for step in GET_STEPS}, COLORS)
        for one in axes:
            one.set_xlabel("milliseconds")
        put.set_ylabel("messages")


def _part(step: str) -> str:
    return "Redis" if step in {"SET", "GET"} else step
