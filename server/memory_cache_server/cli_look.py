"""The commands that look inside: `sessions`, `show`, `tail`, `export`, `delete`, `stats`."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from memory_cache import MemoryCacheError, Page, Session, SessionCache, SessionEventKind
from memory_cache_server import exporting, looking, showing
from memory_cache_server.cli_store import NoStoreError, store
from memory_cache_server.exporting import OutputError
from memory_cache_server.looking import NotFoundError, Seen
from memory_cache_server.message_text import clean, clean_json, one_line
from memory_cache_server.settings import Settings
from memory_cache_server.statistics import (
    StatisticsError,
    ask,
    store_figures,
    store_lines,
    worker_lines,
)

_MOST_SUMMED: Final = 10_000

_Command = Callable[[SessionCache, Mapping[str, Any]], Awaitable[int]]


def look(name: str, arguments: Mapping[str, Any], settings: Settings) -> int:
    """Run one of the commands; answers its exit code."""
    near = name == "tail" and arguments["follow"]

    async def run() -> int:
        async with store(settings, near=near) as cache:
            return await _COMMANDS[name](cache, arguments)

    try:
        return asyncio.run(run())
    except NoStoreError as error:
        return _fail(error, 2)
    except (NotFoundError, OutputError, StatisticsError, MemoryCacheError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 0 if near else 1


async def _sessions(cache: SessionCache, arguments: Mapping[str, Any]) -> int:
    scope = arguments["namespace"], arguments["user_id"]
    limit, newest_first = arguments["limit"], not arguments["oldest_first"]
    if arguments["id"] is not None:
        # One more than is shown tells that there are more.
        most = min(limit + 1, looking.MOST)
        all_ = await cache.find(arguments["id"], namespace=scope[0], user_id=scope[1], limit=most)
        keys, total = list(all_[:limit]), len(all_)
    else:
        keys = await looking.some(cache, *scope, limit=limit, newest_first=newest_first)
        listed = await cache.list_sessions(namespace=scope[0], user_id=scope[1], limit=1)
        total = listed.total
    found = await looking.heads(cache, keys)
    if arguments["json"]:
        print(json.dumps([looking.document(seen) for seen in found], indent=2))
        return 0
    console = showing.console()
    console.print(showing.table(found, console.width) if found else "no sessions")
    if total > len(found):
        of = f" of {total:,}" if arguments["id"] is None else ", and there are more"
        console.print(f"{len(found):,}{of}; --limit says how many", style="dim")
    return 0


async def _show(cache: SessionCache, arguments: Mapping[str, Any]) -> int:
    session = await _named(cache, arguments)
    page = await session.recent(arguments["last"])
    expires_in = await session.expires_in()
    if arguments["json"]:
        about = {**looking.document(Seen(page.key, page)), "expires_in_seconds": expires_in}
        whole = {**about, "fields": page.fields, "start": page.start, "transcript": page.messages}
        print(_json(json.dumps(whole, indent=2, ensure_ascii=False)))
        return 0
    console = showing.console()
    console.print(showing.headline(page, expires_in, wrapped=not console.soft_wrap))
    console.print()
    _print_page(console, page)
    return 0


async def _tail(cache: SessionCache, arguments: Mapping[str, Any]) -> int:
    session = await _named(cache, arguments)
    page = await session.recent(arguments["last"])
    console = showing.console()
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
                print(_json(event.json.decode()))
            else:
                _print_message(console, event.seq, event.message, None)
            sys.stdout.flush()


async def _export(cache: SessionCache, arguments: Mapping[str, Any]) -> int:
    scope = arguments["namespace"], arguments["user_id"]
    # Looked up before anything is written.
    named = [(await looking.named(cache, each, *scope)).key for each in arguments["id"]]
    keys = list(dict.fromkeys(named))
    if not keys:
        # The least recently active first, so that an import makes them in this order.
        keys = [key async for key in looking.every(cache, *scope)][::-1]
    path: Path | None = arguments["output"]
    with exporting.output(path) as write:
        exported = exporting.Exported()
        async for line in exporting.lines(cache, keys, exported):
            write(clean_json(line.decode()).encode() if path is None and _is_seen() else line)
    for key, reason in exported.faults:
        name = f"{clean(key.session_id)} ({looking.scope(key)})"
        print(f"memory-cache: {name} is not exported: it {reason}", file=sys.stderr)
    return 1 if exported.faults else 0


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
    keys = await looking.some(cache, None, None, limit=_MOST_SUMMED)
    found = await looking.heads(cache, keys)
    figures = store_figures([seen.page for seen in found], total)
    url = arguments["url"]
    asked = None if url is None else await asyncio.to_thread(ask, url)
    if arguments["json"]:
        beside = {} if asked is None else {"workers": asked.workers, "answered": asked.answers}
        print(json.dumps({"store": figures, **beside}, indent=2))
        return 0
    lines = store_lines(figures)
    if asked is None:
        lines.append(
            "hits, suspects and leases are counted by the workers of a server; --url asks it"
        )
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
        _print_message(console, page.start + at, message, times[at] if times else None)


def _print_message(console: Console, seq: int, message: Any, created_at: int | None) -> None:  # noqa: ANN401  JSON
    console.print(showing.rendered(seq, message, created_at, wrapped=not console.soft_wrap))


def _print_lines(page: Page) -> None:
    for text in b"\n".join(page.bodies).decode().split("\n"):
        print(_json(text))


def _json(text: str) -> str:
    """Return JSON text as it is; to a person, without what moves a terminal's cursor."""
    return clean_json(text) if _is_seen() else text


def _is_seen() -> bool:
    return sys.stdout.isatty()


def _fail(error: Exception, code: int) -> int:
    print(f"memory-cache: {one_line(str(error))}", file=sys.stderr)
    return code
