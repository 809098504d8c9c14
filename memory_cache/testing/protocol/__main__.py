"""``python -m memory_cache.testing.protocol``: search the protocol, and catch its mutants."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Final

from memory_cache.testing.protocol import Flaw, Result, check_mutant, check_protocol

_DRAW_SECONDS: Final = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if the protocol holds and every mutant asked for is caught, else 1."""
    flaws = {flaw.title: flaw for flaw in Flaw}
    parser = argparse.ArgumentParser(prog="memory_cache.testing.protocol", description=__doc__)
    parser.add_argument("--depth", type=int, help="steps at most (default: no limit)")
    parser.add_argument("--budget", type=int, help="states at most in one search")
    parser.add_argument(
        "--mutant",
        metavar="NAME",
        choices=[*flaws, "all", "none"],
        default="all",
        help="one of: all, none, " + ", ".join(flaws),
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    chosen = {"all": list(Flaw), "none": []}.get(options.mutant) or (
        [flaws[options.mutant]] if options.mutant in flaws else []
    )
    limits = {"depth": options.depth, "budget": options.budget}
    tell = _Progress()
    results: list[Result] = []
    if options.mutant in {"all", "none"}:
        for result in check_protocol(**limits, tell=tell):
            results.append(result)
            _print(result, quiet=options.json)
    for flaw in chosen:
        result = check_mutant(flaw, **limits, tell=tell)
        results.append(result)
        _print(result, quiet=options.json)
    if options.json:
        sys.stdout.write(json.dumps([_document(result) for result in results], indent=1) + "\n")
    else:
        _summary(results)
    return 0 if all(result.right for result in results) else 1


class _Progress:
    """One line on a terminal, drawn anew now and then."""

    def __init__(self) -> None:
        self._drawn = 0.0

    def __call__(self, title: str, states: int, depth: int) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and now - self._drawn > _DRAW_SECONDS:
            self._drawn = now
            sys.stderr.write(f"\r\x1b[K{title}: {states:,} states, depth {depth}")
            sys.stderr.flush()


def _print(result: Result, *, quiet: bool) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    if quiet:
        return
    found, flaw = result.found, result.flaw
    seen = f"{found.states:,} states, depth {found.depth}" + ", all" * found.whole
    if flaw is None:
        verdict = "holds" if result.right else "VIOLATED"
        lines = [f"protocol, {result.scenario.name} ({result.scenario.words}): {verdict} ({seen})"]
    else:
        verdict = "caught" if result.right else "NOT CAUGHT"
        rule = f"rule {flaw.rule}" if flaw.rule else "the store"
        lines = [f"mutant {flaw.title} ({rule}: {flaw.words}): {verdict} ({seen})"]
    if found.counterexample is not None:
        lines += ["  At first:"]
        lines += [f"      {step}" for step in result.scenario.before()]
        lines += ["  Then:", *found.counterexample.lines()]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _summary(results: Sequence[Result]) -> None:
    mutants = [result for result in results if result.flaw is not None]
    protocol = [result for result in results if result.flaw is None]
    if protocol:
        states = sum(result.found.states for result in protocol)
        broken = sum(not result.right for result in protocol)
        sys.stdout.write(f"protocol: {states:,} states, {broken} violation(s)\n")
    caught = sum(result.right for result in mutants)
    sys.stdout.write(f"mutants: {caught} of {len(mutants)} caught\n")


def _document(result: Result) -> dict[str, object]:
    found, flaw, shown = result.found, result.flaw, result.found.counterexample
    return {
        "mutant": flaw.title if flaw else None,
        "rule": flaw.rule if flaw else None,
        "words": flaw.words if flaw else None,
        "scenario": result.scenario.name,
        "right": result.right,
        "states": found.states,
        "depth": found.depth,
        "whole": found.whole,
        "steps": list(shown.steps) if shown else None,
        "wrong": shown.wrong if shown else None,
    }


if __name__ == "__main__":
    raise SystemExit(main())
