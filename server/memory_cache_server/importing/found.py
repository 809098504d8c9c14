"""What a source has: sessions as documents or as transcripts, and what cannot be one."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from memory_cache import ContractMessage, SessionKey
from memory_cache_server.message_text import one_line

LONGEST_NAME: Final = 200

UNFINISHED: Final = "unfinished_import"
"""Field of a session that is being written; no session that is whole has it."""


class SourceError(Exception):
    """The source cannot be had, or is not what it was said to be; says why, without passwords."""


class UnreadableError(Exception):
    """A session of the source cannot be read to its end; says why."""


class ChangedError(UnreadableError):
    """A session changed on the source while it was read; what was read of it is nothing."""


@dataclass(frozen=True, slots=True)
class Document:
    """
    A session of agent-memory-server, read whole.

    Attributes:
        name: what the source calls it.
        ttl_seconds: how long it lives after each write.
        expires_seconds: what is left to live of one that no write prolongs.
        remarks: what of it is not kept here.
    """

    name: str
    key: SessionKey
    messages: Sequence[ContractMessage]
    fields: Mapping[str, Any]
    ttl_seconds: int | None = None
    expires_seconds: int | None = None
    remarks: Sequence[str] = ()


Slices = Callable[[list[str]], AsyncGenerator[list[dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Transcript:
    """
    A session whose messages are kept as they were sent; read in slices, so it may be long.

    Attributes:
        slices: reads it from its beginning: yields messages, notes what cannot be one in the
            list it is given, and raises `UnreadableError` where it cannot go on.
        fields: None where the source has none.
        ttl_seconds: how long it lives after each write; of one without fields, what is left.
        expires_seconds: what is left to live of one that no write prolongs.
        version: of a session of ours; one that is at the same version is the same.
    """

    name: str
    key: SessionKey
    slices: Slices
    fields: Mapping[str, Any] | None = None
    ttl_seconds: int | None = None
    expires_seconds: int | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """What cannot be carried over at all."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """What was there a moment ago: it expired, or was deleted."""

    name: str


Found = Document | Transcript | Refused | Gone

Read = Callable[[], Awaitable[Found | None]]
"""Reads one session; again, if called again. None: it is not one of those asked for."""


class Source(Protocol):
    """Where sessions come from."""

    async def count(self) -> int | None:
        """Return about how many `readings` there will be, for a progress bar; None: unknown."""

    def readings(self) -> AsyncGenerator[Read]:
        """Yield what reads each session. Raises `SourceError`, as what it yields does."""

    async def aclose(self) -> None:
        """Let the source go."""


def shown(name: str | bytes) -> str:
    """Return a name as it may be printed: one line, nothing that moves a terminal's cursor."""
    text = name.decode(errors="backslashreplace") if isinstance(name, bytes) else name
    text = one_line(text)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"
