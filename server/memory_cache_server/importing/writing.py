"""
One session, written.

A long transcript is written slice by slice, and carries a mark in its fields until it is whole.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import orjson

from memory_cache import (
    ABSENT,
    CacheConfig,
    Change,
    IfVersion,
    InvalidInputError,
    Session,
    TooLargeError,
    Version,
    VersionMismatchError,
)
from memory_cache_server.importing.compare import expected
from memory_cache_server.importing.found import (
    UNFINISHED,
    Document,
    Transcript,
    UnreadableError,
)

_USUAL: Final = CacheConfig()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session may have at most."""

    message_bytes: int = _USUAL.max_message_bytes
    session_bytes: int = _USUAL.max_session_bytes
    fields_bytes: int = _USUAL.max_fields_bytes


async def write(
    found: Document | Transcript, session: Session, base: IfVersion, remarks: list[str]
) -> tuple[Version, int]:
    """
    Write a session in place of what is there, ``base``; return its version and length.

    Cancelled or killed, it leaves what was there, the whole, or a beginning that is marked.

    Raises:
        UnreadableError: the source cannot be read to its end; no half of it is left.
        InvalidInputError: it cannot be kept; what was there is.
        VersionMismatchError: somebody else changed it meanwhile; what is there is theirs.
    """
    if isinstance(found, Document):
        return await _put(found, session, base), len(found.messages)
    remarks.clear()
    return await _stream(found, session, base, remarks)


async def _put(found: Document, session: Session, base: IfVersion) -> Version:
    at_once = _at_once(found, base)
    change, _ = await session.put(
        found.messages,
        found.fields if at_once else {**found.fields, UNFINISHED: True},
        ttl_seconds=found.expires_seconds or found.ttl_seconds,
        if_version=base,
    )
    version = _version(change)
    return version if at_once else await _end(found, session, version, len(found.messages))


async def _stream(
    found: Transcript, session: Session, base: IfVersion, remarks: list[str]
) -> tuple[Version, int]:
    """Write a transcript slice by slice; what was written goes again if it cannot be ended."""
    fields, ttl = found.fields or {}, found.expires_seconds or found.ttl_seconds
    async with aclosing(found.slices(remarks)) as slices:
        some = await _next(slices) or []
        more = await _next(slices)
        at_once = more is None and _at_once(found, base)
        fields = fields if at_once else {**fields, UNFINISHED: True}
        version = _version(await session.replace(some, fields, if_version=base, ttl_seconds=ttl))
        count = len(some)
        if at_once:
            return version, count
        try:
            while more is not None:
                if more:
                    version = _version(await session.append(more, if_version=version))
                count += len(more)
                more = await _next(slices)
        except (UnreadableError, InvalidInputError) as error:
            await session.delete(if_version=version)
            if isinstance(error, UnreadableError):
                raise
            raise UnreadableError(f"after {count} messages: {error}") from None
    return await _end(found, session, version, count), count


def _at_once(found: Document | Transcript, base: IfVersion) -> bool:
    """Whether one change can leave a session with just the time to live that it has."""
    if found.expires_seconds is not None:
        return False
    return base is ABSENT or found.ttl_seconds is not None


async def _end(
    found: Document | Transcript, session: Session, version: Version, count: int
) -> Version:
    """Take the mark away, and with it a time to live that is not its own."""
    ttl = found.ttl_seconds
    if ttl is None and found.expires_seconds is None:
        version = _version(await session.set_fields({}, if_version=version, ttl_seconds=None))
    held = await session.put_record()
    if held is None or held[0].held != count:
        raise VersionMismatchError(None)
    # Put without a time to live a deadline stays, and no later write moves it.
    change, _ = await session.put(
        [],
        found.fields or {},
        known=held[0],
        if_version=version,
        ttl_seconds=None if found.expires_seconds is not None else ttl,
    )
    return _version(change)


def _version(change: Change) -> Version:
    assert change.version is not None, "a change that is no delete leaves a session"
    return change.version


async def _next(slices: AsyncGenerator[list[dict[str, Any]]]) -> list[dict[str, Any]] | None:
    async for some in slices:
        return some
    return None


async def check(found: Document | Transcript, remarks: list[str], limits: Limits) -> int:
    """
    Read all of a session, and return how many messages it has.

    Raises:
        InvalidInputError, UnreadableError: as `write` would.
    """
    if len(orjson.dumps(found.fields)) > limits.fields_bytes:
        raise TooLargeError("fields", f"are over {limits.fields_bytes} bytes")
    remarks.clear()
    count = size = 0
    async with aclosing(_bodies(found, remarks)) as bodies:
        async for some in bodies:
            for length in map(len, some):
                if length > limits.message_bytes:
                    raise TooLargeError(
                        f"messages[{count}]", f"is over {limits.message_bytes} bytes"
                    )
                count += 1
                size += length
    if size > limits.session_bytes:
        raise TooLargeError("messages", f"the session would be over {limits.session_bytes} bytes")
    return count


async def _bodies(found: Document | Transcript, remarks: list[str]) -> AsyncGenerator[list[bytes]]:
    """Yield messages about as they would be stored."""
    if isinstance(found, Document):
        yield [expected(message, b"{}") for message in found.messages]
        return
    async with aclosing(found.slices(remarks)) as slices:
        async for some in slices:
            yield [orjson.dumps(message) for message in some]
