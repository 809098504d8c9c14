"""
Sessions of `memory-cache export`: lines of JSON.

A session is a line ``{"session": …}`` with its name and fields, a line ``{"message": …}`` for
each message as it is stored, and a line ``{"end": {"messages": <how many>}}``. Without that last
line, or with ``"abandoned"`` or ``"damaged"`` in it, the session is not whole, and is refused; with
``"again"``, it follows once more. The last line of all is ``{"export": {"sessions": <how many>}}``:
without it there may have been more sessions. Several exports may stand one after the other.
"""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from memory_cache import InvalidInputError, SessionKey, parse_json, session_key
from memory_cache_server.importing.found import (
    UNFINISHED,
    Found,
    Gone,
    Read,
    Refused,
    SourceError,
    Transcript,
    UnreadableError,
    shown,
)

SESSION: Final = b'{"session":'
MESSAGE: Final = b'{"message":'
END: Final = b'{"end":'
WHOLE: Final = b'{"export":'
ABANDONED: Final = "abandoned"
DAMAGED: Final = "damaged"

_CUT_OFF: Final = "is cut off: its last line is missing, or counts otherwise"
_LOST: Final = "the last line of the export is missing, or counts otherwise: sessions may be lost"
_DEEPEST: Final = 64
"""How deep a message, or the fields of a session, may be nested."""

_SLICE: Final = 256
_SLICE_BYTES: Final = 512 * 1024


@dataclass(slots=True)
class _Session:
    """
    A session of the file: its first line, and so many lines of messages from an offset on.

    ``name``: what it is called until it could be read.
    """

    name: str
    line: bytes
    offset: int
    count: int = 0


@dataclass(frozen=True, slots=True)
class _Header:
    """What the first line of a session says; ``left``: how long it is until it ends."""

    key: SessionKey
    fields: dict[str, Any] | None
    ttl: int | None
    left: int | None


class _Scan:
    """Goes through a file line by line, and says what reads each session in it."""

    def __init__(self, read: Callable[[_Session], Awaitable[Found | None]]) -> None:
        self._read = read
        self._open: _Session | None = None
        self._ended = 0
        self._whole = False
        self._number = 0
        self._offset = 0

    def take(self, line: bytes) -> Iterator[Read]:
        """Take the next line."""
        self._number += 1
        self._offset += len(line)
        if self._open is not None:
            if line.startswith(MESSAGE):
                self._open.count += 1
                return
            yield from self._closed(line)
            if line.startswith(END):
                return
        name = f"line {self._number}"
        if line.startswith(SESSION):
            self._open, self._whole = _Session(name, line, self._offset), False
        elif line.startswith(WHOLE):
            if not _says(line, self._ended):
                yield partial(_refuse, name, _LOST)
            self._ended, self._whole = 0, True
        elif line.strip():
            yield partial(_refuse, name, "is no line of an export, here")

    def end(self) -> Iterator[Read]:
        """Take the end of the file."""
        yield from self._closed(b"")
        if not self._whole:
            yield partial(_refuse, "the end", _LOST)

    def _closed(self, line: bytes) -> Iterator[Read]:
        """End the session that is open, by a line that is its last or is none of its own."""
        session, self._open = self._open, None
        if session is None:
            return
        again, reason = _fault(line, session.count)
        if not again:
            self._ended += 1
            yield partial(_refuse, session.name, reason) if reason else partial(self._read, session)


class JsonLines:
    """A source: see the module. ``path`` is read more than once."""

    def __init__(self, path: Path, namespace: str | None) -> None:
        self._path = path
        self._namespace = namespace

    async def count(self) -> int | None:
        """See `Source`."""
        count = 0
        async for _ in self.readings():
            count += 1
        return count

    async def readings(self) -> AsyncGenerator[Read]:
        """See `Source`."""
        scan = _Scan(self._read)
        try:
            with self._path.open("rb") as lines:
                for line in lines:
                    for read in scan.take(line):
                        yield read
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from None
        for read in scan.end():
            yield read

    async def aclose(self) -> None:
        """See `Source`."""

    async def _read(self, session: _Session) -> Found | None:
        try:
            header = _header(session.line)
        except (UnreadableError, InvalidInputError) as error:
            return Refused(session.name, str(error))
        if self._namespace is not None and header.key.namespace != self._namespace:
            return None
        name = f"{session.name} ({shown(header.key.session_id)})"
        if header.left is not None and header.left <= 0:
            return Gone(name)
        slices = partial(self._slices, session)
        return Transcript(name, header.key, slices, header.fields, header.ttl, header.left)

    async def _slices(
        self, session: _Session, _: list[str]
    ) -> AsyncGenerator[list[dict[str, Any]]]:
        size = 0
        messages: list[dict[str, Any]] = []
        try:
            with self._path.open("rb") as lines:
                lines.seek(session.offset)
                for line in islice(lines, session.count):
                    messages.append(_value(line, "message"))
                    size += len(line)
                    if len(messages) == _SLICE or size > _SLICE_BYTES:
                        yield messages
                        messages, size = [], 0
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from None
        yield messages


async def _refuse(name: str, reason: str) -> Found | None:
    return Refused(name, reason)


def _value(line: bytes, name: str, *, nested: int = 1) -> dict[str, Any]:
    """Return the object of a line; ``nested``: how deep within it the deepest begins."""
    try:
        value = parse_json(line, max_depth=_DEEPEST + nested)
    except InvalidInputError as error:
        raise UnreadableError(f"{error.field} {error.reason}") from None
    inner = value.get(name) if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        raise UnreadableError(f"a line has no object `{name}`")
    return inner


def _header(line: bytes) -> _Header:
    header = _value(line, "session", nested=2)
    parts = [header.get(name) for name in ("session_id", "namespace", "user_id")]
    fields, ttl, until = (header.get(name) for name in ("fields", "ttl_seconds", "expires_at"))
    if any(not isinstance(part, str | None) for part in parts):
        raise UnreadableError("has a name that is no text")
    is_ttl = isinstance(ttl, int | None) and not isinstance(ttl, bool)
    if not isinstance(fields, dict | None) or not is_ttl:
        raise UnreadableError("has fields or a time to live that are none")
    if UNFINISHED in (fields or {}):
        raise UnreadableError("was itself being imported when it was exported")
    key = session_key(parts[0] or "", parts[1], parts[2])
    return _Header(key, fields, ttl, None if until is None else _seconds_until(until))


def _fault(line: bytes, count: int) -> tuple[bool, str]:
    """Return if a session is begun again after its last line, and what is wrong with it."""
    if not line.startswith(END):
        return False, _CUT_OFF
    try:
        end = _value(line, "end")
    except UnreadableError as error:
        return False, str(error)
    if ABANDONED in end:
        return bool(end.get("again")), "changed again and again while it was exported"
    if DAMAGED in end:
        return False, "could not be read where it was exported"
    return False, "" if end.get("messages") == count else _CUT_OFF


def _says(line: bytes, sessions: int) -> bool:
    """Whether this is the last line of an export of so many sessions."""
    try:
        return _value(line, "export").get("sessions") == sessions
    except UnreadableError:
        return False


def _seconds_until(text: object) -> int:
    """Return how long it is until a time, in whole seconds."""
    try:
        left = datetime.fromisoformat(str(text)) - datetime.now(UTC)
    except (ValueError, TypeError):
        raise UnreadableError("has an end that is no time") from None
    return math.ceil(left.total_seconds())
