"""The microbenchmarks as one table and one picture."""

from dataclasses import asdict
from pathlib import Path

from perf.lab.plots import BLUE, GREEN, GREY, SKY, VERMILION, bars, decades, sheet
from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Picture, Verdict
from perf.micro.bench import Bench, benches

COLORS = (BLUE, GREEN, SKY, VERMILION, GREY)


async def run(folder: Path, *, quick: bool) -> Outcome:
    """Run all of them."""
    progress = Progress("micro", 1)
    progress.say("pytest-benchmark")
    try:
        found = await benches(quick=quick)
    finally:
        progress.close()
    rows = {bench.name: bench for bench in found}
    verdicts = [Verdict(f"{b.group}: {b.name}, µs", b.median_us) for b in found]
    last = _longest(rows, "test_recent_20_hot")
    verdicts += [
        Verdict("library hot read of the last 20, µs", last.median_us, at_most=2.5),
        Verdict(
            "hot read, longest session / shortest",
            last.median_us / rows["test_recent_20_hot[100]"].median_us,
            at_most=1.05,
        ),
        Verdict(
            "append, longest session / shortest",
            _longest(rows, "test_append").median_us / rows["test_append[100]"].median_us,
            at_most=1.10,
        ),
        Verdict("wrong answers", sum(not bench.correct for bench in found), at_most=0),
    ]
    _draw(found, folder)
    data = {"benchmarks": [asdict(bench) for bench in found]}
    return Outcome("Micro", verdicts, data, [Picture("micro.png", "Microseconds per call")])


def _longest(rows: dict[str, Bench], name: str) -> Bench:
    sizes = [int(each.split("[")[1][:-1]) for each in rows if each.startswith(f"{name}[")]
    return rows[f"{name}[{max(sizes)}]"]


def _draw(found: list[Bench], folder: Path) -> None:
    groups = sorted({bench.group for bench in found})
    with sheet(folder / "micro.png", "One call, median", height=6) as (axes,):
        ordered = sorted(found, key=lambda bench: (bench.group, bench.name))
        bars(
            axes,
            [_title(bench) for bench in ordered],
            [bench.median_us for bench in ordered],
            [COLORS[groups.index(bench.group) % len(COLORS)] for bench in ordered],
        )
        decades(axes, "microseconds")
        axes.margins(x=0.25)


def _title(bench: Bench) -> str:
    """Write ``test_append[10000]`` as people do."""
    name, _, size = bench.name.removeprefix("test_").replace("_", " ").partition("[")
    return f"{name}, {int(size[:-1]):,}" if size[:-1].isdigit() else name
