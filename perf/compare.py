"""
Two revisions, their microbenchmarks in turns on this machine.

Each revision runs the benchmarks it has itself, from a copy of its files; those of the same name
are compared. Slower is what is slower by more than a tenth in the median of all rounds, and
slower at all in nearly every round: a noisy machine does the first now and then, not both.
"""

import asyncio
import contextlib
import statistics
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

from perf.lab.progress import Progress
from perf.lab.verdicts import Outcome, Verdict
from perf.micro.bench import benches
from perf.servers import child

CHECKOUT = Path(__file__).resolve().parent.parent
SLOWER = 1.10
MOST_ROUNDS = 0.8
WORKING_TREE = "."


async def run(base: str, head: str, rounds: int, *, quick: bool) -> Outcome:
    """Compare; a benchmark that only one of them has is named, not judged."""
    times: dict[str, dict[str, list[float]]] = {base: defaultdict(list), head: defaultdict(list)}
    progress = Progress("compare", rounds * 2)
    try:
        async with _copy(base) as old, _copy(head) as new:
            for turn in range(rounds):
                pairs = [(base, old), (head, new)]
                for name, root in pairs if turn % 2 else reversed(pairs):
                    progress.step(f"round {turn + 1}: {name}")
                    path = [root, root / "server"]
                    micro = root / "perf" / "micro"
                    only = "ring or recent" if quick else ""
                    found = await benches(quick=quick, micro=micro, path=path, only=only)
                    for bench in found:
                        times[name][bench.name].append(bench.median_us)
    finally:
        progress.close()
    outcome = Outcome(f"{base} against {head}", data={"microseconds": times})
    for name in sorted(set(times[base]) | set(times[head])):
        if name not in times[base] or name not in times[head]:
            outcome.notes.append(f"{name}: not in {base if name in times[head] else head}")
            continue
        outcome.verdicts.append(judge(name, times[base][name], times[head][name]))
    return outcome


def judge(name: str, old: list[float], new: list[float]) -> Verdict:
    """Return the verdict on one benchmark: none if it seems slower, but not reliably."""
    ratios = [after / before for before, after in zip(old, new, strict=True)]
    ratio = statistics.median(ratios)
    reliably = sum(each > 1 for each in ratios) >= MOST_ROUNDS * len(ratios)
    at_most = SLOWER if reliably or ratio <= SLOWER else None
    return Verdict(f"{name}, new / old", ratio, at_most=at_most)


@contextlib.asynccontextmanager
async def _copy(revision: str) -> AsyncIterator[Path]:
    """Give the files of a revision in a folder that is gone afterwards."""
    if revision == WORKING_TREE:
        yield CHECKOUT
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "files.tar")
        words = ("git", "-C", str(CHECKOUT), "archive", "-o", str(archive), revision)
        async with child(*words, stderr=asyncio.subprocess.STDOUT) as git:
            printed, _ = await git.communicate()
        if git.returncode:
            raise RuntimeError(f"git archive {revision}: {printed.decode().strip()}")
        root = Path(folder, "files")
        with tarfile.open(archive) as files:
            files.extractall(root, filter="data")
        yield root
