"""Runs Locust as a process of its own, and gathers what its users saw."""

import asyncio
import itertools
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.servers import child

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_numbers = itertools.count()


class WrongAnswerError(Exception):
    """Locust said that the run is not to be trusted; holds the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One request: who made it, when it ended (seconds), its kind, at what size, how long (ms).

    ``process`` is a number among Locust's; ``cpu`` the processor seconds it had taken by the end.
    """

    process: int
    end: float
    method: str
    size: int
    ms: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Swarm:
    """What one run of Locust saw; stages are (when it began, users), the last one ends it."""

    samples: list[Sample]
    stages: list[tuple[float, int]]
    end: float

    def stage(self, number: int) -> tuple[list[Sample], float]:
        """Return the samples of the second half of a stage, and how many seconds it lasted."""
        begin = self.stages[number][0]
        end = self.stages[number + 1][0] if number + 1 < len(self.stages) else self.end
        begin += (end - begin) / 2
        return [s for s in self.samples if begin <= s.end < end], end - begin

    def rate(self, number: int, method: str) -> float:
        """Return how many such requests a second were answered in a stage."""
        found, seconds = self.stage(number)
        return sum(sample.method == method for sample in found) / seconds

    def times(self, number: int, method: str) -> list[float]:
        """Return the milliseconds of such requests in a stage."""
        return [sample.ms for sample in self.stage(number)[0] if sample.method == method]

    def processors(self, number: int) -> float:
        """Return how many processors the users' processes took in a stage."""
        found: dict[int, list[Sample]] = defaultdict(list)
        for sample in self.stage(number)[0]:
            found[sample.process].append(sample)
        return sum(
            (seen[-1].cpu - seen[0].cpu) / (seen[-1].end - seen[0].end)
            for seen in found.values()
            if len(seen) > 1
        )

    def by_size(self, method: str, sizes: list[int]) -> dict[int, list[float]]:
        """Return the milliseconds of such requests by the size asked for last."""
        found: dict[int, list[float]] = defaultdict(list)
        for sample in self.samples:
            if sample.method == method:
                found[max(size for size in sizes if size <= sample.size)].append(sample.ms)
        return dict(found)


def percentile(times: list[float], part: float) -> float:
    """Return the value that ``part`` of the times do not exceed."""
    if len(times) < 2:
        return times[0]
    return statistics.quantiles(times, n=1000, method="inclusive")[round(part * 1000) - 1]


def fresh() -> str:
    """Return a first part of session names that nobody had."""
    return f"s{next(_numbers)}"


async def swarm(user: str, host: str, *, report: Path | None = None, **options: Any) -> Swarm:  # noqa: ANN401
    """
    Run Locust with users of one class until its stages end.

    Raises:
        WrongAnswerError: an answer was wrong, or there was none.
    """
    words = ["-m", "locust", "-f", str(LOCUSTFILE), user, "--host", host, "--headless"]
    words += ["--only-summary", "--loglevel", "WARNING"]
    options.setdefault("prefix", fresh())
    if report is not None:
        words += ["--html", str(report)]
    if options.get("processes") == 1:
        del options["processes"]  # one is no swarm: spare the master
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    with tempfile.TemporaryDirectory() as folder:
        async with child(
            sys.executable, *words, "--samples", folder, stderr=asyncio.subprocess.STDOUT
        ) as locust:
            printed, _ = await locust.communicate()
        if locust.returncode:
            raise WrongAnswerError(f"{user} at {host}: {printed.decode()[-3000:]}")
        return _gather(Path(folder), f"{user} at {host}")


def _gather(folder: Path, name: str) -> Swarm:
    found = [json.loads(path.read_text()) for path in folder.iterdir()]
    every = (Sample(at, *s) for at, part in enumerate(found) for s in part["samples"])
    samples = sorted(every, key=lambda sample: sample.end)
    stages = [(begin, users) for part in found for begin, users in part["stages"]]
    if not samples or not stages:
        raise WrongAnswerError(f"{name}: nothing was answered")
    return Swarm(samples, stages, samples[-1].end)
