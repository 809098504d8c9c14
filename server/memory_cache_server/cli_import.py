"""The command `memory-cache import`."""

import asyncio
import os
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from memory_cache import MemoryCacheError
from memory_cache_server.cli_store import NoStoreError, store
from memory_cache_server.importing.carry import Carrier, Outcome, State, Ways
from memory_cache_server.importing.found import Source, SourceError
from memory_cache_server.importing.run import Report, run
from memory_cache_server.importing.source import opened
from memory_cache_server.importing.writing import Limits
from memory_cache_server.message_text import one_line
from memory_cache_server.settings import Settings

TOKEN: Final = "MEMORY_CACHE_SOURCE_TOKEN"  # noqa: S105  the name of a variable


def import_(arguments: dict[str, Any], settings: Settings) -> int:
    """Run the command; answers its exit code."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    ways = Ways(arguments["overwrite"], arguments["dry_run"], arguments["verify"])
    report = Report()
    try:
        with opened(
            arguments["source"],
            settings,
            layout=arguments["layout"],
            namespace=arguments["namespace"],
            key_prefix=arguments["key_prefix"],
            token=os.environ.get(TOKEN),
        ) as source:
            asyncio.run(_import(source, settings, ways, report, console))
    except (SourceError, NoStoreError, MemoryCacheError) as error:
        console.print(f"memory-cache: {one_line(str(error))}{_so_far(report, ways)}")
        return 2
    except KeyboardInterrupt:
        console.print(f"memory-cache: stopped{_so_far(report, ways)}")
        return 1
    print("\n".join(report.lines(ways)))
    return 0 if report.all_whole else 1


def _so_far(report: Report, ways: Ways) -> str:
    """Say what an import that was ended has done."""
    if ways.dry_run or not report.states:
        return ""
    return f"; {report.whole:,} sessions are here, and the same command goes on"


async def _import(
    source: Source, settings: Settings, ways: Ways, report: Report, console: Console
) -> None:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    try:
        async with store(settings, counting=not ways.dry_run) as cache:
            total = None if progress.disable else await source.count()
            with progress:
                task = progress.add_task("sessions", total=total)

                def each(outcome: Outcome | None) -> None:
                    progress.advance(task)
                    for line in () if outcome is None else _said(outcome):
                        console.print(one_line(line))

                limits = Limits(settings.max_message_bytes, settings.max_session_bytes)
                await run(source, Carrier(cache, ways, limits), report, each)
    finally:
        await source.aclose()


def _said(outcome: Outcome) -> list[str]:
    said = [f"{outcome.name}: {remark}" for remark in outcome.remarks]
    if outcome.state in {State.REFUSED, State.DIFFERS}:
        word = "not carried over" if outcome.state is State.REFUSED else "left alone"
        said.append(f"{outcome.name}: {word}: {outcome.reason}")
    return said
