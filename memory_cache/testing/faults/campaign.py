"""A campaign: rounds one after the other, each judged, and their sum."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memory_cache.testing.faults.crew import WORKER
from memory_cache.testing.faults.dump import dump
from memory_cache.testing.faults.ground import SkippedError, Stage
from memory_cache.testing.faults.report import Report
from memory_cache.testing.faults.rounds import Plan, play
from memory_cache.testing.faults.store import CannotRunError, binary, fast_folder
from memory_cache.testing.faults.table import FAULTS

_ROUND_SECONDS: Final = (6.0, 30.0)
_ROUNDS: Final = 6
_CYCLE: Final = (Stage.SAFE, Stage.LOSSY, Stage.SAFE, Stage.DISK, Stage.SAFE, Stage.SAFE)
"""Two rounds in three allow no loss at all."""


@dataclass(frozen=True, slots=True)
class Wish:
    """
    What a campaign is asked to do.

    Attributes:
        faults: names of the kinds to draw from; none: all.
        pace: stretches the pauses between faults, and how long they are held.
        command: runs a worker; another one shows that the bench finds what it must.
        folder: in which logs are kept while it runs; None: in memory, where there is room.
        histories: a folder that takes the history of each round in which something was wrong.
    """

    seconds: float = 60.0
    seed: int = 1
    workers: int = 3
    clients: int = 8
    sessions: int = 12
    faults: Sequence[str] = ()
    pace: float = 1.0
    command: Sequence[str] = WORKER
    folder: Path | None = None
    histories: Path | None = None


async def run(wish: Wish, tell: Callable[[str], None] = lambda _: None) -> Report:
    """
    Run a campaign, and return its report; cancelled, it leaves nothing behind.

    Raises:
        CannotRunError: there is no Valkey here, or a fault is not known, or nothing comes back.
    """
    binary()
    unknown = [name for name in wish.faults if name not in FAULTS]
    if unknown:
        raise CannotRunError(f"no such fault: {', '.join(unknown)}")
    kinds = [FAULTS[name] for name in wish.faults or FAULTS]
    stages = [stage for stage in _CYCLE if any(stage in kind.stages for kind in kinds)]
    if all(kind.stages == {Stage.LOSSY} for kind in kinds):
        stages = [Stage.LOSSY]
    length = min(max(wish.seconds / _ROUNDS, _ROUND_SECONDS[0]), _ROUND_SECONDS[1])
    report = Report(wish.seed)
    end = time.monotonic() + wish.seconds
    with _folder(wish.folder) as folder:
        number = 0
        while (left := end - time.monotonic()) > 0:
            plan = Plan(
                number=number,
                stage=stages[number % len(stages)],
                seconds=min(length, left),
                seed=wish.seed,
                workers=wish.workers,
                clients=wish.clients,
                sessions=wish.sessions,
                kinds=kinds,
                pace=wish.pace,
                command=wish.command,
            )
            tell(f"round {number} ({plan.stage.value}) {report.line()}")
            number += 1
            try:
                result = await play(plan, folder)
            except SkippedError as skipped:
                stages = [stage for stage in stages if stage is not plan.stage]
                report.skip(plan, str(skipped))
                if not stages:
                    break
                continue
            report.add(result)
            if wish.histories is not None and (result.verdict.anomalies or result.scores.broken):
                dump(result.history, wish.histories / f"seed-{wish.seed}-round-{plan.number}.jsonl")
    return report


@contextlib.contextmanager
def _folder(place: Path | None) -> Iterator[Path]:
    """Make a folder; it is gone after."""
    path = Path(tempfile.mkdtemp(prefix="mc-faults-", dir=place or fast_folder()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
