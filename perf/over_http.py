"""The paths of the server against no-ops, and appends of the library against bare redis-py."""

from pathlib import Path
from typing import Any

from perf import batch, hot_get, put, transcript
from perf.lab.plots import BLUE, GREY, bars, sheet
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture, Verdict
from perf.micro import flat


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Run the measurements that can also be run by themselves, and gather what they say."""
    rounds = 2 if quick else 7
    progress = Progress("http", 5)
    found: dict[str, Any] = {}
    try:
        progress.step("hot GET")
        found["hot GET"] = await hot_get.run(rounds, 2_000 if quick else 20_000)
        progress.step("PUT that grew")
        found["PUT"] = await put.run(rounds * 2, [100, 1_000] if quick else put.SIZES)
        progress.step("whole transcript")
        found["transcript"] = await transcript.run(rounds * 2)
        progress.step("appends together")
        found["batch"] = await batch.run(1 if quick else rounds)
        progress.step("flat")
        found["flat"] = await flat.run(rounds, flat.SIZES[:2] if quick else flat.SIZES)
    finally:
        progress.close()
    outcome = Outcome("HTTP and the library's paths", _judge(found), found)
    _draw(outcome.verdicts, folder)
    outcome.pictures = [Picture("ratios.png", "Each path against its floor")]
    return outcome


def _judge(found: dict[str, Any]) -> list[Verdict]:
    grown, whole, together = found["PUT"][-1], found["transcript"], found["batch"]
    rows = found["flat"]["rows"]
    sizes = f"{rows[-1]['messages']:,} messages / {rows[0]['messages']}"
    messages = f"{grown['messages']:,} messages"
    return [
        Verdict(
            "hot GET, throughput / raw ASGI no-op",
            found["hot GET"]["throughput_ratio"],
            at_least=hot_get.TARGET,
        ),
        Verdict(f"PUT that grew, {messages}, minimal / drain", grown["minimal"], at_most=1.5),
        Verdict(f"PUT that grew, {messages}, echo / drain and echo", grown["echo"], at_most=2.0),
        Verdict("whole GET, blocks held / same bytes from memory", whole["near"], at_most=2.0),
        Verdict("whole read, cold / one HMGET", whole["cold"], at_most=1.5),
        Verdict("append / bare round trip", together["append_ratio"], at_most=1.5),
        Verdict("25 writers, batched / un-pipelined", together["throughput_ratio"], at_least=1.6),
        Verdict("client CPU, batched / un-pipelined", together["cpu_ratio"], at_most=1 / 3),
        Verdict(f"append through the library, {sizes}", rows[-1]["append_ratio"], at_most=1.10),
        Verdict(f"hot read through the library, {sizes}", rows[-1]["recent_ratio"], at_most=1.05),
        Verdict(
            f"Redis commands per append, {sizes}",
            rows[-1]["append_commands"] / rows[0]["append_commands"],
            at_most=1.0,
        ),
    ]


def _draw(verdicts: list[Verdict], folder: Path) -> None:
    with sheet(folder / "ratios.png", "Each path against its floor", height=4.8) as (axes,):
        names = [f"{v.claim}  ({v.target})" for v in verdicts]
        colors = [GREY if v.short else BLUE for v in verdicts]
        bars(axes, names, [v.measured for v in verdicts], colors)
        axes.set_xlabel("ratio (grey: short of its target)")
