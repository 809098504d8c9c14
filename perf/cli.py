"""
Every claim of the README, measured again by one command each.

    python -m perf story1 | baseline | http | micro | memory | fanout | propagation | followers
                   | peers [--quick] [--out DIR] [--json]
    python -m perf compare BASE HEAD

Starts what it needs on free ports, writes a folder with raw JSON, plots and one HTML page, prints
measured ratios beside their targets, and ends with 1 if one is short, 2 if the measurement itself
failed (a wrong answer, say). `--quick` shows that the lab works, not how fast anything is.
"""

import argparse
import asyncio
import importlib
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from perf.lab.page import write_page
from perf.lab.verdicts import Outcome, save, table

COMMANDS = {
    "story1": ("perf.story1.run", "conversations that grow, by Locust, both designs in turn"),
    "baseline": (
        "perf.baselines.run",
        "the design we compare with, beside the server it stands for",
    ),
    "micro": ("perf.micro.run", "the library's parts, by pytest-benchmark"),
    "peers": ("perf.peers.run", "what one would pick instead, same messages, same Redis"),
    "memory": ("perf.memory.run", "bytes per message in Redis and in the near cache"),
    "propagation": ("perf.propagation.run", "when another worker sees a write, the bus broken too"),
    "followers": ("perf.followers.run", "1,000 live tails, a worker killed in the middle"),
    "fanout": ("perf.fanout", "what a write costs Redis as workers are added"),
    "http": ("perf.over_http", "hot GET, PUT, whole GET and batches, against no-ops"),
}
INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(
        prog="python -m perf", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for name, (_, text) in COMMANDS.items():
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("--quick", action="store_true", help="little of everything")
        _common(one)
    text = "the library's parts at two revisions, in turns"
    compare = commands.add_parser("compare", help=text, description=text)
    compare.add_argument("base", help="a revision of git")
    compare.add_argument("head", help="another; . is the working tree")
    compare.add_argument("--rounds", type=int, default=10)
    compare.add_argument("--quick", action="store_true", help="two rounds, few benchmarks")
    _common(compare)
    return top


def _common(one: argparse.ArgumentParser) -> None:
    one.add_argument("--out", type=Path, help="folder for the results (build/perf/NAME-TIME)")
    one.add_argument("--json", action="store_true", help="print results.json, no table")


def main() -> int:
    """Measure, write, print; 0, 1 if a target was missed, 2 if there is nothing to trust."""
    options = parser().parse_args()
    folder = options.out or Path(
        "build", "perf", f"{options.command}-{time.strftime('%Y%m%d-%H%M%S')}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    if options.command == "compare":
        from perf.compare import run as compare  # noqa: PLC0415  # others need not import it

        rounds = 2 if options.quick else options.rounds

        def work() -> Awaitable[Outcome]:
            return compare(options.base, options.head, rounds, quick=options.quick)
    else:
        measure = importlib.import_module(COMMANDS[options.command][0]).run

        def work() -> Awaitable[Outcome]:
            found: Awaitable[Outcome] = measure(folder, quick=options.quick)
            return found

    try:
        outcome = asyncio.run(_until_stopped(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted; nothing is left running", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # a measurement that failed is not a slow one
        print(f"{options.command} failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    document = save(outcome, folder, quick=options.quick)
    page = write_page(outcome, document, folder)
    print(json.dumps(document, indent=1) if options.json else table(outcome.verdicts))
    if not options.json:
        print(*outcome.notes, f"{page}", sep="\n")
    return int(outcome.short)


async def _until_stopped(work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work()
