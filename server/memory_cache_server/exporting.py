"""`memory-cache export`: sessions as lines of JSON, which `memory-cache import` reads."""

import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from memory_cache import (
    NEWEST,
    DamagedSessionError,
    Page,
    Session,
    SessionCache,
    SessionKey,
    time_text,
)
from memory_cache_server.importing.jsonl import ABANDONED, DAMAGED, END, MESSAGE, SESSION, WHOLE
from memory_cache_server.looking import Seen, document, handle

_PAGE: Final = 500
_TRIES: Final = 3


@dataclass(slots=True)
class Exported:
    """
    What was written.

    ``sessions``: how many have a last line; ``faults``: which sessions are not whole, and why.
    """

    sessions: int = 0
    faults: list[tuple[SessionKey, str]] = field(default_factory=list)


class OutputError(Exception):
    """A file cannot be written; says why."""


@contextmanager
def output(path: Path | None) -> Iterator[Callable[[bytes], object]]:
    """
    Give what writes to a file, or to standard output.

    A file takes the place of one of its name when it is whole; until then that stays as it was.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer.write
        return
    try:
        part = path
        if path.is_file() or not path.exists():  # else a pipe or a device, written as it is
            path = path.resolve()
            part = path.with_name(f"{path.name}.part")
        with part.open("wb") as file, _removed(part, path):
            yield file.write
            file.flush()
            if part != path:
                os.fsync(file.fileno())
                part.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _removed(part: Path, path: Path) -> Iterator[None]:
    """Leave no part of a file behind."""
    try:
        yield
    except BaseException:
        if part != path:
            part.unlink(missing_ok=True)
        raise


async def lines(
    cache: SessionCache, keys: Sequence[SessionKey], exported: Exported
) -> AsyncGenerator[bytes]:
    """Yield the lines of sessions, each as it is at one moment; and one that says how many."""
    for key in keys:
        async for line in _session(handle(cache, key), exported):
            yield line
    yield WHOLE + orjson.dumps({"sessions": exported.sessions}) + b"}\n"


async def _session(session: Session, exported: Exported) -> AsyncGenerator[bytes]:
    """
    Yield the lines of a session; nothing if it does not exist.

    What is edited meanwhile is abandoned in a last line of its own, and begun again; the third
    time is the last.
    """
    begun = False
    try:
        for left in reversed(range(_TRIES)):
            head = await session.recent(0, consistency=NEWEST)
            if not head.exists:
                return
            about = {**document(Seen(session.key, head)), **await _deadline(session, head)}
            begun = True
            yield SESSION + orjson.dumps({**about, "fields": head.fields}) + b"}\n"
            whole = False
            async for chunk in _messages(session, head):
                whole = not chunk
                if chunk:
                    yield chunk
            begun = False
            if whole:
                exported.sessions += 1
                yield END + orjson.dumps({"messages": head.next - head.first}) + b"}\n"
                return
            yield END + orjson.dumps({ABANDONED: True, "again": left > 0}) + b"}\n"
        exported.sessions += 1
        exported.faults.append((session.key, "changed again and again"))
    except DamagedSessionError:
        exported.faults.append((session.key, "cannot be read"))
        if begun:
            exported.sessions += 1
            yield END + orjson.dumps({DAMAGED: True}) + b"}\n"


async def _deadline(session: Session, head: Page) -> dict[str, Any]:
    """Return when a session ends whose writes do not prolong it."""
    left = None if head.ttl_seconds is not None else await session.expires_in()
    if left is None:
        return {}
    return {"expires_at": time_text(datetime.now(UTC) + timedelta(seconds=left))}


async def _messages(session: Session, head: Page) -> AsyncGenerator[bytes]:
    """Yield messages as lines, and at the end, if all were of one state, an empty text."""
    seq = head.first
    while seq < head.next:
        limit = min(_PAGE, head.next - seq)
        page = await session.page(after=seq - 1, limit=limit, consistency=NEWEST)
        if page.end == seq or _edition(page) != _edition(head):
            return
        texts = b"\n".join(page.bodies).split(b"\n")
        yield b"".join(MESSAGE + text + b"}\n" for text in texts)
        seq = page.end
    yield b""


def _edition(page: Page) -> tuple[str, int] | None:
    """Return what stays while messages are only added."""
    return (page.header.inc, page.header.edits) if page.header else None
