"""The commands that look inside: `sessions`, `show`, `tail`, `export`, `delete`, `stats`."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, aclosing
from typing import Any, Final

from rich.console import Console

from memory_cache import MemoryCacheError, Page, Session, SessionCache, SessionEventKind, SessionKey
from memory_cache_server import exporting, looking
from memory_cache_server.cli_store import NoStoreError, store
from memory_cache_server.looking import NotFoundError
from memory_cache_server.message_text import clean
from memory_cache_server.settings import Settings
from memory_cache_server.statistics import (
    StatisticsError,
    ask,
    store_figures,
    store_lines,
    worker_lines,
)

_PIPE_WIDTH: Final = 240

_MOST_SUMMED: Final = 10_000

_Command = Callable[[SessionCache, Mapping[str, Any]], Awaitable[int]]


def look(name: str, arguments: Mapping[str, Any], settings: Settings) -> int:
    """Run one of the commands; answers its exit code."""
    near = name == "tail" and arguments["follow"]

    async def run() -> int:
        async with store(settings, near=near) as cache:
            code = await _COMMANDS[name](cache, arguments)
        sys.stdout.flush()  # else a reader that has gone is met at the very end
        return code

    try:
        return asyncio.run(run())
    except NoStoreError as error:
        return _fail(error, 2)
    except BrokenPipeError:
        # Who read has enough. What is still buffered must not be tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (NotFoundError, StatisticsError, MemoryCacheError, OSError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 0 if near else 1


async def _sessions(cache: SessionCache, arguments: Mapping[str, Any]) -> int:
    scope = {name: arguments[name] for name in ("namespace", "user_id")}
    if arguments["id"] is not None:
        keys = (await cache.find(arguments["id"], **scope))[: arguments["limit"]]
        total = len(keys)
    else:
        newest_first = not arguments["oldest_first"]
        limit = min(arguments["limit"], looking.MOST)
        listed = await cache.list_sessions(**scope, limit=limit, newest_first=newest_first)
        keys, total = listed.sessions, listed.total
    pages = await looking.heads(cache, keys)
    if arguments["json"]:
        print(json.dumps([looking.document(page) for page in pages], indent=2))
        return 0
    console = _console()
    console.print(looking.table(pages))
    if total > len(pages):
        console.print(f"{len(pages):,} of {total:,}", style="dim")
    return 0


async def _show(cache: SessionCache, arguments: Mapping[str, Any]) -> int:
    session = await _named(cache, arguments)
    page = await session.recent(arguments["last"])
    if arguments["json"]:
        document = {**looking.document(page), "fields": page.fields, "start": page.start}
        print(json.dumps({**document, "transcript": page.messages}, indent=2, ensure_ascii=False))
        return 0
    console = _console()
    console.print(looking.headline(page))
    console.print()
    _print_page(console, page)
    return 0


async def _tail(cache: SessionCache, arguments: Mapping[str, Any]) -> int:
    session = await _named(cache, arguments)
    page = await session.recent(arguments["last"])
    console = _console()
    if arguments["json"]:
        _print_lines(page)
    else:
        _print_page(console, page)
    if arguments["follow"]:
        await _follow(session, page, console, as_json=arguments["json"])
    return 0


async def _follow(session: Session, page: Page, console: Console, *, as_json: bool) -> None:
    # Whoever reads a pipe sees each line when it is due, those of before too.
    sys.stdout.flush()
    async with aclosing(session.events(after=page, patience_seconds=None)) as events:
        async for event in events:
            if event.kind is not SessionEventKind.MESSAGE:
                said = f"— {event.kind.value} —"
                if as_json:
                    print(said, file=sys.stderr)
                else:
                    console.print(said, style="dim")
            elif as_json:
                print(event.json.decode())
            else:
                console.print(looking.rendered(event.seq, event.message))
            sys.stdout.flush()


async def _export(cache: SessionCache, arguments: Mapping[str, Any]) -> int:
    scope = arguments["namespace"], arguments["user_id"]
    with ExitStack() as stack:
        output = sys.stdout.buffer
        if arguments["output"] is not None:
            output = stack.enter_context(arguments["output"].open("wb"))
        for session_id in arguments["id"]:
            async for line in exporting.lines(await looking.named(cache, session_id, *scope)):
                output.write(line)
        # The least recently active first, so that an import makes them in this order.
        keys = [] if arguments["id"] else [key async for key in looking.every(cache, *scope)]
        for key in reversed(keys):
            async for line in exporting.lines(looking.handle(cache, key)):
                output.write(line)
        output.flush()
    return 0


async def _delete(cache: SessionCache, arguments: Mapping[str, Any]) -> int:
    session = await _named(cache, arguments)
    page = await session.recent(0)
    name = f"{clean(session.key.session_id)} ({looking.scope(session.key)})"
    what = f"{name} with {page.next - page.first:,} messages"
    if not arguments["yes"]:
        if not sys.stdin.isatty():
            return _fail(NotFoundError(f"{what} is not deleted: nobody to ask; give --yes"), 2)
        answer = await asyncio.to_thread(input, f"Delete {what}? [y/N] ")
        if answer.strip().lower() not in {"y", "yes"}:
            return 1
    # What was asked about is what goes.
    await session.delete(if_version=page.version)
    print(f"deleted {what}")
    return 0


async def _stats(cache: SessionCache, arguments: Mapping[str, Any]) -> int:
    total = (await cache.list_sessions(limit=1)).total
    keys: list[SessionKey] = []
    async with aclosing(looking.every(cache, None, None)) as sessions:
        async for key in sessions:
            keys.append(key)
            if len(keys) == _MOST_SUMMED:
                break
    figures = store_figures(await looking.heads(cache, keys), total)
    url = arguments["url"]
    asked = None if url is None else await asyncio.to_thread(ask, url)
    if arguments["json"]:
        beside = {} if asked is None else {"workers": asked.workers, "answered": asked.answers}
        print(json.dumps({"store": figures, **beside}, indent=2))
        return 0
    lines = store_lines(figures)
    if asked is None:
        lines.append("what workers count, such as hits, they say themselves: --url")
    else:
        lines += worker_lines(asked)
    print("\n".join(lines))
    return 0


_COMMANDS: Final[dict[str, _Command]] = {
    "sessions": _sessions,
    "show": _show,
    "tail": _tail,
    "export": _export,
    "delete": _delete,
    "stats": _stats,
}


async def _named(cache: SessionCache, arguments: Mapping[str, Any]) -> Session:
    return await looking.named(cache, arguments["id"], arguments["namespace"], arguments["user_id"])


def _print_page(console: Console, page: Page) -> None:
    times = [meta.created_at for meta in page.metas or ()]
    for at, message in enumerate(page.messages):
        console.print(looking.rendered(page.start + at, message, times[at] if times else None))


def _print_lines(page: Page) -> None:
    for text in b"\n".join(page.bodies).decode().split("\n"):
        print(text)


def _console() -> Console:
    # Into a file or a pipe a line is a line, however long.
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def _fail(error: Exception, code: int) -> int:
    print(f"memory-cache: {error}", file=sys.stderr)
    return code
