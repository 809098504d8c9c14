"""Story 1, played to both designs in turns, and what came of it."""

import asyncio
import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture, Verdict
from perf.servers import memory_cache, process, valkey, whole_document
from perf.story1.judge import BASE, judge_crowd, judge_pace, judge_ramp, judge_size
from perf.story1.pictures import picture_size, picture_users
from perf.story1.plan import FULL, QUICK
from perf.story1.play import Hosts, Seen, crowds, pace, read, rounds
from perf.story1.talk import LAST, Talk
from perf.tokens import ESTIMATE, TIKTOKEN, see_counted


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Play all of it, and write pictures and Locust's own reports to the folder."""
    plan = QUICK if quick else FULL
    progress = Progress("story1", plan.steps)
    seen = Seen(plan)
    try:
        async with contextlib.AsyncExitStack() as stack:
            url = await stack.enter_async_context(valkey())
            hosts = await _sides(stack, url, plan.workers, TIKTOKEN)
            hosts |= await _floors(stack, folder)
            async with contextlib.AsyncExitStack() as meanwhile:
                estimating = await _sides(meanwhile, url, plan.workers, ESTIMATE)
                await rounds(seen, {TIKTOKEN: hosts, ESTIMATE: estimating}, folder, progress)
            await crowds(seen, hosts, progress)
            await pace(seen, hosts, progress)
            await read(seen, hosts, progress)
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
            / seen.readers[BASE][-1]["GET"]["per_second"],
        ),
    ]
    outcome.pictures = await asyncio.to_thread(_pictures, seen, folder)
    outcome.notes = [
        (
            "Both sides count tokens by tiktoken, as the server does that the whole document stands"
            " for; where a line says estimate, both do that, which is the whole document's best."
        ),
        (
            "Clients, servers and store share the processors of one machine, so ratios of"
            " throughput are less than what the servers could do."
        ),
        "The design that was replaced has no append: its clients PUT the whole transcript.",
    ]
    return outcome


async def _sides(stack: contextlib.AsyncExitStack, url: str, workers: int, counter: str) -> Hosts:
    """Start a server of each side, and see that they count as they are to."""
    hosts = {}
    for name, side in (("ours", memory_cache), ("whole", whole_document)):
        _, hosts[name] = await stack.enter_async_context(side(url, workers, counter=counter))
        await see_counted(hosts[name], counter)
    return hosts


async def _floors(stack: contextlib.AsyncExitStack, folder: Path) -> Hosts:
    """Start what does no work: one that sends back what comes, one that always sends the same."""
    _, drain = await stack.enter_async_context(process("-m", "perf.noop", "--drain"))
    answer = folder / "no-op.json"
    await asyncio.to_thread(answer.write_text, json.dumps(_answer()))
    _, same = await stack.enter_async_context(process("-m", "perf.noop", str(answer)))
    return {"echo": f"http://127.0.0.1:{drain}", "no-op": f"http://127.0.0.1:{same}"}


def _answer() -> dict[str, Any]:
    """Return what the no-op sends: as many bytes as a read of the last twenty."""
    talk = Talk("no-op")
    body = talk.grow(LAST).decode()
    headers = [["content-type", "application/json"], ["content-length", str(len(body))]]
    return {"headers": headers, "body": body}


def _pictures(seen: Seen, folder: Path) -> list[Picture]:
    users = picture_users(seen.ramp, seen.crowd, seen.paced, seen.plan.pace, folder)
    return picture_size(seen.long, folder) + users
