"""
Sessions of `memory-cache export`: lines of JSON.

A session is a line ``{"session": …}`` with its name and fields, a line ``{"message": …}`` for
each message as it is stored, and a line ``{"end": {"messages": <how many>}}``. Without that last
line, or with ``"abandoned"`` in it, the session is not whole, and is refused; with ``"again"``, it
follows once more.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from memory_cache import InvalidInputError, parse_json, session_key
from memory_cache_server.importing.found import (
    Found,
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

_CUT_OFF: Final = "is cut off: its last line is missing, or counts otherwise"
_SLICE: Final = 256
_SLICE_BYTES: Final = 512 * 1024


@dataclass(slots=True)
class _Session:
    """A session of the file: the number of its first line, that line, and what comes after it."""

    number: int
    line: bytes
    offset: int
    count: int = 0

    @property
    def name(self) -> str:
        """What it is called until it could be read."""
        return f"line {self.number}"


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
        open_: _Session | None = None
        try:
            with self._path.open("rb") as lines:
                offset = 0
                for number, line in enumerate(lines, 1):
                    offset += len(line)
                    if open_ is not None and line.startswith(MESSAGE):
                        open_.count += 1
                        continue
                    if open_ is not None and line.startswith(END):
                        if (ended := self._ended(open_, line)) is not None:
                            yield ended
                        open_ = None
                        continue
                    if open_ is not None:
                        yield partial(_refuse, open_.name, _CUT_OFF)
                        open_ = None
                    if line.startswith(SESSION):
                        open_ = _Session(number, line, offset)
                    elif line.strip():
                        yield partial(_refuse, f"line {number}", "is no line of an export, here")
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from None
        if open_ is not None:
            yield partial(_refuse, open_.name, _CUT_OFF)

    async def aclose(self) -> None:
        """See `Source`."""

    def _ended(self, session: _Session, line: bytes) -> Read | None:
        """Return what reads a session that has its last line; None: it was begun again."""
        try:
            end = _value(line, "end")
        except UnreadableError as error:
            return partial(_refuse, session.name, str(error))
        if "abandoned" in end:
            reason = "changed again and again while it was exported"
            return None if end.get("again") else partial(_refuse, session.name, reason)
        if end.get("messages") != session.count:
            return partial(_refuse, session.name, _CUT_OFF)
        return partial(self._read, session)

    async def _read(self, session: _Session) -> Found | None:
        try:
            header = _value(session.line, "session")
            scope = str(header.get("namespace") or ""), str(header.get("user_id") or "")
            key = session_key(str(header.get("session_id") or ""), *scope)
        except (UnreadableError, InvalidInputError) as error:
            return Refused(session.name, str(error))
        if self._namespace is not None and key.namespace != self._namespace:
            return None
        fields, ttl = header.get("fields"), header.get("ttl_seconds")
        return Transcript(
            f"{session.name} ({shown(key.session_id)})",
            key,
            partial(self._slices, session),
            fields=fields if isinstance(fields, dict) else None,
            ttl_seconds=ttl if isinstance(ttl, int) else None,
        )

    async def _slices(
        self, session: _Session, _: list[str]
    ) -> AsyncGenerator[list[dict[str, Any]]]:
        size = 0
        messages: list[dict[str, Any]] = []
        with self._path.open("rb") as lines:
            lines.seek(session.offset)
            for line in islice(lines, session.count):
                messages.append(_value(line, "message"))
                size += len(line)
                if len(messages) == _SLICE or size > _SLICE_BYTES:
                    yield messages
                    messages, size = [], 0
        yield messages


async def _refuse(name: str, reason: str) -> Found | None:
    return Refused(name, reason)


def _value(line: bytes, name: str) -> dict[str, Any]:
    try:
        value = parse_json(line, max_depth=66)  # a message may have 64 of its own
    except InvalidInputError as error:
        raise UnreadableError(f"{error.field} {error.reason}") from None
    inner = value.get(name) if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        raise UnreadableError(f"a line has no object `{name}`")
    return inner
