"""One trial: a copy of the package, a patch perhaps, an instrument in a process of its own."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memory_cache.testing.mutants.patches import Instrument, Patch

_PACKAGE: Final = Path(__file__).parents[2]
_PATIENCE_SECONDS: Final = 900.0
_TAIL: Final = 1500
"""Characters kept of what an instrument said."""

_COMMANDS: Final = {
    Instrument.SIMULATION: ("memory_cache.testing.simulation", "--until-failure"),
    Instrument.CONTRACT: ("memory_cache.testing.mutants.contract",),
    Instrument.BENCH: ("memory_cache.testing.faults",),
}


@dataclass(frozen=True, slots=True)
class Result:
    """
    What an instrument said of a copy.

    Attributes:
        caught: it found something wrong; None: it could not run, and ``detail`` says why.
        seconds: how long it ran; of the simulation CPU time, else by the clock.
        seeds: how many seeds the simulation ran; None for the others.
        detail: the first thing it found.
    """

    caught: bool | None
    seconds: float
    seeds: int | None = None
    detail: str = ""


async def try_patch(
    patch: Patch | None, instrument: Instrument, options: tuple[str, ...] = ()
) -> Result:
    """
    Let an instrument look at a copy of the package; ``patch`` None: as it is.

    Cancelled: its process is ended, the copy removed.

    Raises:
        PatchError: the patch does not apply.
    """
    with tempfile.TemporaryDirectory(prefix="memory-cache-mutant-") as name:
        folder = Path(name)
        copy = folder / "memory_cache"
        shutil.copytree(_PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        if patch is not None:
            patch.apply(copy)
        report = folder / "report"
        module, *rest = _COMMANDS[instrument]
        command = ["-m", module, *rest, *options, "--json", str(report)]
        began = time.monotonic()
        code, said = await _run(folder, command)
        return _result(instrument, report, code, said, time.monotonic() - began)


async def _run(folder: Path, command: list[str]) -> tuple[int | None, str]:
    """Return the exit status (None: it did not end in time) and the end of what was said."""
    async with _process(folder, command) as process:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                said, _ = await process.communicate()
        except TimeoutError:
            return None, "it did not end in time"
    return process.returncode, said.decode(errors="replace")[-_TAIL:]


@asynccontextmanager
async def _process(folder: Path, command: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # With all that it has started.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _result(
    instrument: Instrument, report: Path, code: int | None, said: str, seconds: float
) -> Result:
    if code not in {0, 1} or not report.is_file():
        return Result(None, seconds, detail=said)
    told = json.loads(report.read_text())
    caught = code == 1
    if instrument is Instrument.SIMULATION:
        detail = next((found[0] for found in told["failed"].values()), "")
        return Result(caught, told["cpu_seconds"], told["seeds"], detail)
    if instrument is Instrument.CONTRACT:
        return Result(caught, seconds, detail=told["broken"])
    return Result(caught, seconds, detail=_first_of(told))


def _first_of(report: dict[str, object]) -> str:
    """Return a word on what the bench found."""
    return json.dumps(report.get("anomalies", ""))[:_TAIL]
