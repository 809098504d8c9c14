"""A write, and when the ring of another worker has it; then the same while the bus breaks."""

import asyncio
import statistics
from pathlib import Path
from typing import Any

from perf.lab.plots import (
    BLUE,
    GREY,
    SKY,
    VERMILION,
    Style,
    bars,
    cumulative,
    decades,
    sheet,
)
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture, Verdict
from perf.propagation.faults import STALENESS_SECONDS, under_faults
from perf.propagation.worker import worker
from perf.servers import valkey

CALM_SECONDS = 600
"""T where nothing breaks: so long that no fence is among what is measured."""
WARM = 100
STYLES = {
    "pings": Style("a bare round trip of redis-py", GREY, "", ":"),
    "acknowledged": Style("acknowledged to its writer", SKY, "", "--"),
    "seen": Style("seen in another worker's ring", BLUE, ""),
}


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Measure both."""
    faults = 30 if quick else 1_000
    progress = Progress("propagation", faults + 1)
    try:
        async with valkey() as url:
            times = await _seen(url, 200 if quick else 5_000)
        progress.step("a write, seen elsewhere")
        async with valkey() as url:
            rows = await under_faults(url, faults, lambda done: progress.step(f"fault {done}"))
    finally:
        progress.close()
    summary = {name: _summary(values) for name, values in times.items()}
    outcome = Outcome("Propagation", _judge(summary, rows))
    outcome.data = {"us": summary, "staleness_seconds": STALENESS_SECONDS, "faults": rows}
    _draw(times, rows, folder)
    outcome.pictures = [Picture("propagation.png", "When another worker sees a write")]
    outcome.notes = [
        "The other worker looks at its ring without a pause, so it need not be woken to see.",
    ]
    return outcome


async def _seen(url: str, writes: int) -> dict[str, list[float]]:
    """Return the microseconds of each: from the call of an append, and of bare round trips."""
    async with worker(url, CALM_SECONDS) as writer, worker(url, CALM_SECONDS) as watcher:
        await writer.ask("append", first=0, count=WARM)
        await watcher.ask("warm")
        found, seen = await asyncio.gather(
            writer.ask("append_and_ping", first=WARM, count=writes),
            watcher.ask("watch", first=WARM, count=writes),
        )
    return {
        "pings": [each * 1e6 for each in found["pings"]],
        "acknowledged": [(done - began) * 1e6 for began, done in found["writes"]],
        "seen": [(at - began) * 1e6 for at, (began, _) in zip(seen, found["writes"], strict=True)],
    }


def _summary(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1), "p99": round(cuts[98], 1)}


def _judge(us: dict[str, dict[str, float]], rows: dict[str, dict[str, Any]]) -> list[Verdict]:
    seen, trip = us["seen"], us["pings"]
    faults, reads = (sum(row[name] for row in rows.values()) for name in ("faults", "reads"))
    oldest = max(row["oldest_ms"] for row in rows.values())
    return [
        Verdict("a write seen elsewhere: p99 / a bare round trip", seen["p99"] / trip["p50"],
                at_most=5),
        Verdict("a write seen elsewhere: p50 / a bare round trip", seen["p50"] / trip["p50"]),
        Verdict("a bare round trip: p99 / p50", trip["p99"] / trip["p50"]),
        Verdict(f"{faults:,} bus faults, {reads:,} reads: the oldest read / T",
                oldest / 1e3 / STALENESS_SECONDS, at_most=1),
        *(
            Verdict(f"near cache away after its subscription was {kind}, median ms",
                    statistics.median(row["away_ms"]))
            for kind, row in rows.items()
        ),
    ]  # fmt: skip


def _draw(times: dict[str, list[float]], rows: dict[str, dict[str, Any]], folder: Path) -> None:
    title = "One worker writes, another reads"
    with sheet(folder / "propagation.png", title, 2) as (left, right):
        left.set_title("how soon the other one has it", fontsize=11)
        for name, style in STYLES.items():
            cumulative(left, style, times[name])
        decades(left, "microseconds")
        left.set_ylabel("part of all, %")
        right.set_title("oldest read while the bus breaks", fontsize=11)
        values = [row["oldest_ms"] for row in rows.values()]
        bars(right, list(rows), values, [BLUE] * len(rows))
        right.axvline(STALENESS_SECONDS * 1e3, color=VERMILION, linewidth=2)
        right.annotate(
            "T", (STALENESS_SECONDS * 1e3, -0.5), xytext=(4, -2), textcoords="offset points",
            color=VERMILION, fontweight="bold", va="top",
        )  # fmt: skip
        right.set_xlim(0, STALENESS_SECONDS * 1.2e3)
        right.set_xlabel("milliseconds")
