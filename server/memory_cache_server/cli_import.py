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
from memory_cache_server.settings import Settings

TOKEN: Final = "MEMORY_CACHE_SOURCE_TOKEN"  # noqa: S105  the name of a variable


def import_(arguments: dict[str, Any], settings: Settings) -> int:
    """Run the command; answers its exit code."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    ways = Ways(arguments["overwrite"], arguments["dry_run"], arguments["verify"])
    try:
        with opened(
            arguments["source"],
            settings,
            layout=arguments["layout"],
            namespace=arguments["namespace"],
            key_prefix=arguments["key_prefix"],
            token=os.environ.get(TOKEN),
        ) as source:
            report = asyncio.run(_import(source, settings, ways, console))
    except (SourceError, NoStoreError, MemoryCacheError) as error:
        console.print(f"memory-cache: {error}")
        return 2
    except KeyboardInterrupt:
        console.print("memory-cache: stopped; the same command goes on from here")
        return 1
    print("\n".join(report.lines(ways)))
    return 0 if report.all_whole else 1


async def _import(source: Source, settings: Settings, ways: Ways, console: Console) -> Report:
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

                def each(outcome: Outcome) -> None:
                    progress.advance(task)
                    for line in _said(outcome):
                        console.print(line)

                return await run(source, Carrier(cache, ways), each)
    finally:
        await source.aclose()


def _said(outcome: Outcome) -> list[str]:
    said = [f"{outcome.name}: {remark}" for remark in outcome.remarks]
    if outcome.state in {State.REFUSED, State.DIFFERS}:
        word = "not carried over" if outcome.state is State.REFUSED else "left alone"
        said.append(f"{outcome.name}: {word}: {outcome.reason}")
    return said
