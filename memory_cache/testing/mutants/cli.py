"""The command line of the mutants: all of them or some, and a table of what caught each."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from memory_cache.testing.mutants.patches import Instrument, Patch, PatchError, patches
from memory_cache.testing.mutants.trial import Result, try_patch

_BENCH_CONTROL: Final = ("--seconds", "20")
_CONTROL: Final = "(nothing broken)"
_WIDE: Final = 90
"""Characters shown of what was found."""

Trial = tuple[Patch | None, Instrument]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0 if every mutant was caught and no control was, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m memory_cache.testing.mutants",
        description="Break one rule at a time in copies of this package, and see each caught.",
    )
    add = parser.add_argument
    add("--only", default="", help="only these, by name, with commas between")
    add("--by", choices=[*Instrument], help="only those that this instrument must catch")
    add("--seeds", type=int, default=5000, help="of the simulation, at most (default: 5000)")
    add("--no-control", action="store_true", help="do not try copies with nothing broken")
    add("--json", type=Path, metavar="FILE", help="write the results there")
    add("--list", action="store_true", help="list the mutants and end")
    given = parser.parse_args(arguments)
    chosen = _chosen(given.only, given.by)
    if given.list:
        for patch in chosen:
            print(f"{patch.name:32} {patch.rule:18} {patch.caught_by:11} {patch.title}")
        return 0
    if not chosen:
        print(f"there is no such mutant: {given.only}", file=sys.stderr)
        return 1
    instruments = dict.fromkeys(patch.caught_by for patch in chosen)
    trials: list[Trial] = [] if given.no_control else [(None, each) for each in instruments]
    trials += [(patch, patch.caught_by) for patch in chosen]
    try:
        rows = asyncio.run(_all(trials, given.seeds))
    except PatchError as error:
        print(error, file=sys.stderr)
        return 1
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(row["caught"] is (row["mutant"] is not None) for row in rows) else 1


def _chosen(only: str, by: str | None) -> list[Patch]:
    names = [name for name in only.split(",") if name]
    return [
        patch
        for patch in patches()
        if (not names or patch.name in names) and by in {None, patch.caught_by.value}
    ]


async def _all(trials: Sequence[Trial], seeds: int) -> list[dict[str, object]]:
    rows = list[dict[str, object]]()
    wrong = 0
    async for (patch, instrument), result in _results(trials, seeds):
        wrong += result.caught is not (patch is not None)
        rows.append(_row(patch, instrument, result))
        _clear()
        print(_line(patch, instrument, result), flush=True)
        _progress(len(rows), len(trials))
    _clear()
    mutants = sum(patch is not None for patch, _ in trials)
    print(f"{mutants} mutants and {len(trials) - mutants} controls: {wrong} not as they must be")
    return rows


async def _results(trials: Iterable[Trial], seeds: int) -> AsyncIterator[tuple[Trial, Result]]:
    """Yield what became of each, as many at a time as there are processors, but for the bench."""
    together = asyncio.Semaphore(os.cpu_count() or 1)

    async def one(trial: Trial) -> tuple[Trial, Result]:
        patch, instrument = trial
        options = patch.options if patch else ()
        if instrument is Instrument.SIMULATION:
            options = ("--seeds", str(seeds), *options)
        elif instrument is Instrument.BENCH and patch is None:
            options = _BENCH_CONTROL
        async with together:
            return trial, await try_patch(patch, instrument, options)

    alone = [trial for trial in trials if trial[1] is Instrument.BENCH]
    tasks = [asyncio.create_task(one(trial)) for trial in trials if trial not in alone]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
        for trial in alone:
            yield await one(trial)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _row(patch: Patch | None, instrument: Instrument, result: Result) -> dict[str, object]:
    return {
        "mutant": patch.name if patch else None,
        "title": patch.title if patch else _CONTROL,
        "rule": patch.rule if patch else "",
        "held_out": bool(patch and patch.held_out),
        "instrument": instrument.value,
        **asdict(result),
    }


def _line(patch: Patch | None, instrument: Instrument, result: Result) -> str:
    name = patch.name if patch else _CONTROL
    said = {True: "caught", False: "passes", None: "did not run"}[result.caught]
    seeds = f"{result.seeds} seeds, " if result.seeds is not None else ""
    took = f"{seeds}{result.seconds:.1f} s"
    detail = " ".join(result.detail.split())[: None if result.caught is None else _WIDE]
    return f"{name:30} {instrument:11} {said:11} {took:20} {detail}"


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and done < total:
        print(f"[{done}/{total}] …", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
