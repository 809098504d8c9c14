"""The bench's command line."""

import argparse
import asyncio
import json
import math
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from memory_cache.testing.faults.campaign import Wish, run
from memory_cache.testing.faults.report import Report
from memory_cache.testing.faults.store import CannotRunError
from memory_cache.testing.faults.table import listing

_WIDTH: Final = 30
_TICK_SECONDS: Final = 0.2

CLEAN, WRONG, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 130


class _Bar:
    """A progress bar over time on stderr; silent unless that is a terminal."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = time.monotonic()
        self._shown = sys.stderr.isatty()
        self.text = ""

    async def run(self) -> None:
        """Move until cancelled."""
        while self._shown:
            done = min(1.0, (time.monotonic() - self._began) / self._seconds)
            bar = "█" * round(_WIDTH * done)
            self._show(f"faults {bar:·<{_WIDTH}} {done * self._seconds:.0f} s  {self.text}")
            await asyncio.sleep(_TICK_SECONDS)

    def say(self, text: str) -> None:
        """Say what is being done."""
        self.text = text

    def close(self) -> None:
        """Take the bar away."""
        if self._shown:
            self._show("")

    def _show(self, line: str) -> None:
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m memory_cache.testing.faults",
        description="Break workers, links and a Valkey of its own, and judge what clients saw."
        " Exit status: 0 clean, 1 something is wrong, 2 it cannot run here.",
    )
    add = parser.add_argument
    add("--seconds", type=_positive, default=60.0, help="how long (default: 60)")
    add("--seed", type=int, default=1, help="what the faults are drawn from (default: 1)")
    add("--workers", type=_count, default=3, help="worker processes (default: 3)")
    add("--clients", type=_count, default=8, help="clients (default: 8)")
    add("--sessions", type=_count, default=12, help="sessions they share (default: 12)")
    add("--faults", default="", help="only these, by name, with commas between")
    add("--pace", type=_positive, default=1.0, help="factor on every pause and hold (default: 1)")
    add(
        "--worker",
        type=_words,
        default=[],
        help="a command that runs another worker, to see it caught",
    )
    add("--folder", type=Path, help="where to keep logs meanwhile (default: in memory, if it can)")
    add("--histories", type=Path, help="a folder to keep the histories of what went wrong in")
    add("--json", type=Path, help="write the report to this file, too")
    add("--list", action="store_true", help="list the faults and end")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as told; return the exit status."""
    given = _parser().parse_args(arguments)
    if given.list:
        print(listing())
        return CLEAN
    wish = Wish(
        seconds=given.seconds,
        seed=given.seed,
        workers=given.workers,
        clients=given.clients,
        sessions=given.sessions,
        faults=[name for name in given.faults.split(",") if name],
        pace=given.pace,
        folder=given.folder,
        histories=given.histories,
        **({"command": given.worker} if given.worker else {}),
    )
    try:
        _make_places(given.folder, given.histories, given.json)
        report = asyncio.run(_run(wish))
    except CannotRunError as error:
        print(error, file=sys.stderr)
        return CANNOT_RUN
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    print(report.text())
    if given.json:
        given.json.write_text(json.dumps(report.document(), indent=1) + "\n")
    return CLEAN if report.is_clean else WRONG


def _positive(text: str) -> float:
    """Read seconds, or a factor."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("must be a finite number above 0")
    return number


def _count(text: str) -> int:
    """Read how many."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number, 1 or more")
    return int(text)


def _words(text: str) -> list[str]:
    """Read a command."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not a command: {error}") from None


def _make_places(folder: Path | None, histories: Path | None, report: Path | None) -> None:
    """Make what is written to, before anything runs; `CannotRunError` if it is not to be had."""
    try:
        for place in (folder, histories, report.parent if report else None):
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
        if report is not None:
            report.open("a").close()
    except OSError as error:
        raise CannotRunError(f"{error.filename}: {error.strerror}") from error


async def _run(wish: Wish) -> Report:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    bar = _Bar(wish.seconds)
    moving = asyncio.create_task(bar.run())
    try:
        return await run(wish, bar.say)
    finally:
        moving.cancel()
        bar.close()
