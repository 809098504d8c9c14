"""
The whole-document design as we wrote it, beside the server that it stands for.

The figures of redis/agent-memory-server are those that its own code gave on the machine on which
this lab was written, with Redis Stack. Only there is a ratio to them one of like with like.
"""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import httpx

from perf.baselines.breakdown import GET_STEPS, PUT_STEPS, breakdown
from perf.lab.plots import BLUE, GREEN, GREY, SKY, VERMILION, YELLOW, sheet, stack
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture, Verdict
from perf.servers import valkey, whole_document
from perf.story1.swarm import swarm
from perf.story1.talk import LAST, Talk

THEIRS_MS = {10: {"GET": 2.7, "PUT": 2.6}, 10_000: {"GET": 86.0, "PUT": 343.0}}
"""Milliseconds of redis/agent-memory-server, by messages in the session."""
THEIRS_PER_SECOND = 26
"""Its requests a second with 25 sessions of 2,000 messages."""
COLORS = {
    "parse and validate": VERMILION,
    "count tokens": GREEN,
    "serialise": BLUE,
    "Redis": GREY,
    "sort": YELLOW,
    f"serialise {LAST}": SKY,
}


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Measure it over HTTP and by its parts."""
    progress = Progress("baseline", 3)
    users, messages, seconds = (4, 200, 2) if quick else (25, 2_000, 10)
    outcome = Outcome("The whole-document design")
    try:
        async with valkey() as url:
            parts = await asyncio.to_thread(
                breakdown, url, [100, 1_000] if quick else [100, 2_000, 10_000]
            )
            progress.step("its parts")
            async with whole_document(url) as (_, host):
                times = {size: await _calls(host, size, 5 if quick else 30) for size in THEIRS_MS}
            progress.step("one session")
            async with whole_document(url, workers=2) as (_, host):
                found = await swarm(
                    "WholeTranscript",
                    host,
                    messages=messages,
                    stages=f"{users}:{seconds}",
                    processes=2,
                )
                rate = found.rate(0, "PUT") + found.rate(0, "GET")
            progress.step(f"{users} sessions")
    finally:
        progress.close()
    outcome.data = {"parts_ms": parts, "ms": times, "requests_per_second": rate}
    outcome.verdicts = _judge(times)
    of = f"{users} sessions of {messages:,} messages, requests a second"
    outcome.verdicts.append(Verdict(of, rate, at_least=None if quick else THEIRS_PER_SECOND))
    _draw(parts, folder)
    outcome.pictures = [Picture("profile.png", "Where the whole-document design spends its time")]
    outcome.notes = ["Targets are what redis/agent-memory-server was measured at: it is no slower."]
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


def _judge(times: dict[int, dict[str, float]]) -> list[Verdict]:
    names = {"GET": f"GET of the last {LAST}", "PUT": "PUT of everything"}
    return [
        Verdict(f"{name}, {size:,} messages, ms", times[size][method], at_most=theirs[method])
        for method, name in names.items()
        for size, theirs in THEIRS_MS.items()
    ]


def _draw(parts: list[dict[str, Any]], folder: Path) -> None:
    names = [f"{row['messages']:,}" for row in parts]
    with sheet(folder / "profile.png", "The whole-document design: where time goes", 2) as axes:
        for one, title, steps in zip(
            axes, ("PUT", f"GET of the last {LAST}"), (PUT_STEPS, GET_STEPS), strict=True
        ):
            one.set_title(title, fontsize=11)
            times = {
                "Redis" if step in {"SET", "GET"} else step: [row[step] for row in parts]
                for step in steps
            }
            stack(one, names, times, COLORS)
            one.set_xlabel("milliseconds")
        axes[0].set_ylabel("messages")
