"""The command line: many seeds, or one of them in detail."""

import argparse
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from memory_cache.testing.simulation._run import Outcome, simulate

_BAR: Final = 30
_CHUNK: Final = 10
"""Seeds that a process runs before it tells what came of them."""

_MOST_LINES: Final = 120
"""Of a failing seed so much of what led up to its first anomaly is printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0 if every promise was kept in every seed, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m memory_cache.testing.simulation", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=2000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--trace", action="store_true", help="print all that happens in --seed")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes at work (default: %(default)s)"
    )
    parser.add_argument("--until-failure", action="store_true", help="stop at the first that fails")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        return _one(given.seed, trace=given.trace)
    seeds = range(given.first, given.first + given.seeds)
    tally = _many(seeds, jobs=given.jobs, until_failure=given.until_failure)
    if given.json:
        given.json.write_text(json.dumps(tally.document(), indent=1) + "\n")
    for seed in sorted(tally.failed)[:3]:
        _say("")
        _one(seed, trace=False)
    return 1 if tally.failed else 0


@dataclass(slots=True)
class _Tally:
    """What came of many seeds."""

    seeds: int = 0
    events: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    losses: int = 0
    seconds: float = 0.0
    failed: dict[int, Sequence[str]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.events += len(outcome.events)
        self.faults.update(fault.kind for fault in outcome.history.faults)
        self.losses += len(outcome.verdict.losses) if outcome.verdict else 0
        if outcome.anomalies:
            self.failed[outcome.seed] = outcome.anomalies

    def join(self, other: "_Tally") -> None:
        self.seeds += other.seeds
        self.events += other.events
        self.faults.update(other.faults)
        self.losses += other.losses
        self.seconds += other.seconds
        self.failed.update(other.failed)

    def document(self) -> dict[str, object]:
        """Return the figures as JSON has them."""
        return {
            "seeds": self.seeds,
            "events": self.events,
            "faults": dict(sorted(self.faults.items())),
            "reported_losses": self.losses,
            "cpu_seconds": round(self.seconds, 3),
            "failed": {str(seed): list(found) for seed, found in sorted(self.failed.items())},
        }


def _many(seeds: range, *, jobs: int, until_failure: bool) -> _Tally:
    tally = _Tally()
    with closing(_tallies(seeds, jobs, until_failure=until_failure)) as tallies:
        for some in tallies:
            tally.join(some)
            _progress(tally.seeds, len(seeds), len(tally.failed))
            if until_failure and tally.failed:
                break
    rate = 60 * tally.seeds / max(tally.seconds, 1e-9)
    _say(
        f"{tally.seeds} seeds, {tally.events} events, {tally.faults.total()} faults of"
        f" {len(tally.faults)} kinds, {tally.losses} reported losses: {len(tally.failed)} failed"
        f" ({rate:,.0f} seeds a minute of CPU)"
    )
    return tally


def _tallies(seeds: range, jobs: int, *, until_failure: bool) -> Generator[_Tally]:
    """Yield what came of the seeds, some at a time, in their order."""
    chunks = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
    if jobs == 1:
        yield from (_chunk(chunk, until_failure=until_failure) for chunk in chunks)
        return
    pool = ProcessPoolExecutor(jobs)
    try:
        running = deque(pool.submit(_chunk, chunk, until_failure=until_failure) for chunk in chunks)
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _chunk(seeds: range, *, until_failure: bool) -> _Tally:
    tally, began = _Tally(), time.process_time()
    for seed in seeds:
        tally.add(simulate(seed))
        if until_failure and tally.failed:
            break
    tally.seconds = time.process_time() - began
    return tally


def _one(seed: int, *, trace: bool) -> int:
    outcome = simulate(seed)
    lines = outcome.trace()
    if not trace:
        lines = lines[max(0, outcome.first_anomaly - _MOST_LINES) : outcome.first_anomaly + 1]
    _say(f"seed {seed}: {len(outcome.plan.configs)} workers, {outcome.plan.clients} clients")
    for line in lines if trace or outcome.anomalies else ():
        _say(line)
    for anomaly in outcome.anomalies:
        _say(f"ANOMALY {anomaly}")
    _say(f"replay: python -m memory_cache.testing.simulation --seed {seed} --trace")
    return 1 if outcome.anomalies else 0


def _progress(done: int, total: int, failed: int) -> None:
    if sys.stderr.isatty():
        filled = _BAR * done // total
        end = "\n" if done == total else ""
        bar = "#" * filled + "." * (_BAR - filled)
        sys.stderr.write(f"\r[{bar}] {done}/{total} seeds, {failed} failed{end}")
        sys.stderr.flush()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
