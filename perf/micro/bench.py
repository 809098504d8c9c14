"""Runs the microbenchmarks in a process of their own, and reads what they saw."""

import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from perf.servers import child

HERE = Path(__file__).parent
NOTHING_RUN = 5
"""pytest's exit code where nothing is to be run."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark: its group, and the microseconds of a call (median and best)."""

    name: str
    group: str
    median_us: float
    best_us: float
    correct: bool


async def benches(
    *, quick: bool, micro: Path = HERE, path: list[Path] | None = None, only: str = ""
) -> list[Bench]:
    """
    Run what is in ``micro``; ``path`` goes before everything else on the path of modules.

    ``only``: an expression of pytest's ``-k``.

    Raises:
        RuntimeError: a benchmark failed, or answered wrongly.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        seconds = "0.05" if quick else "0.5"
        words = [
            *("-m", "pytest", str(micro), *(("-k", only) if only else ())),
            *("-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", folder),
            *("--import-mode=importlib", "-o", "asyncio_default_fixture_loop_scope=function"),
            *(f"--benchmark-max-time={seconds}", "--benchmark-min-rounds=3"),
            *("--benchmark-warmup=on", "--benchmark-warmup-iterations=100"),
            f"--benchmark-json={report}",
        ]
        async with child(
            sys.executable, *words, stderr=asyncio.subprocess.STDOUT, path=path
        ) as running:
            printed, _ = await running.communicate()
        if running.returncode == NOTHING_RUN:
            return []
        if running.returncode:
            raise RuntimeError(f"a benchmark failed: {printed.decode()[-3000:]}")
        found = json.loads(report.read_text())  # noqa: ASYNC240  # nobody waits
        return [_read(entry) for entry in found["benchmarks"]]


def _read(entry: dict[str, object]) -> Bench:
    stats, info = entry["stats"], entry["extra_info"]
    assert isinstance(stats, dict), "an object"
    assert isinstance(info, dict), "an object"
    calls = info.get("calls", 1)
    return Bench(
        name=str(entry["name"]),
        group=str(entry["group"]),
        median_us=stats["median"] / calls * 1e6,
        best_us=stats["min"] / calls * 1e6,
        correct=bool(info.get("correct")),
    )
