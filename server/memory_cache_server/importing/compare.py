"""A session here against the one it was made from, message by message, byte by byte."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from itertools import zip_longest
from typing import Any, Final

import orjson

from memory_cache import NEWEST, ContractMessage, DamagedSessionError, Page, Session
from memory_cache_server.importing.found import UNFINISHED, Document, Transcript

_PAGE: Final = 500


class _MovedError(Exception):
    """The session here changed while it was compared."""


async def difference(
    found: Document | Transcript, session: Session, remarks: list[str], *, whole: bool = True
) -> str:
    """
    Say how a session here differs from what was found; an empty text: in nothing.

    What of ``found`` cannot be a message is noted in ``remarks``, and not looked for. ``whole``:
    else the session is marked as unfinished, and need hold no more than the beginning.

    Raises:
        UnreadableError: the source cannot be read to its end.
        StoreError, DamagedSessionError: the session here cannot be read.
    """
    head = await session.recent(0, consistency=NEWEST)
    if not head.exists:
        return "is not there"
    if differs := _beside(found, head, whole=whole):
        return differs
    contract = isinstance(found, Document)
    async with aclosing(_held(session, head, contract=contract)) as held:
        try:
            if isinstance(found, Document):
                return await _documents(found, held, whole=whole)
            return await _transcripts(found, held, remarks, whole=whole)
        except _MovedError:
            return "it changed here while it was compared"


def _beside(found: Document | Transcript, head: Page, *, whole: bool) -> str:
    """Compare what a session has beside its messages."""
    held = head.fields
    if held.pop(UNFINISHED, None) is not None and whole:
        return "an import of it is not finished"
    fields = {} if found.fields is None and not whole else found.fields
    if fields is not None and not _equal_fields(held, fields):
        return "its fields differ"
    # Of a list the source says only what is left of its time.
    known = found.fields is not None and found.expires_seconds is None
    if whole and known and head.ttl_seconds != found.ttl_seconds:
        return "its time to live differs"
    return ""


async def _documents(found: Document, held: AsyncGenerator[list[bytes]], *, whole: bool) -> str:
    at = 0
    async for some in held:
        for view, sent in zip_longest(some, found.messages[at : at + len(some)]):
            if sent is None or view != expected(sent, view):
                return _differs(at)
            at += 1
    return _differs(at) if whole and at < len(found.messages) else ""


async def _transcripts(
    found: Transcript, held: AsyncGenerator[list[bytes]], remarks: list[str], *, whole: bool
) -> str:
    at = 0
    rest: list[bytes] = []
    async with aclosing(found.slices(remarks)) as slices:
        async for some in slices:
            expected = [orjson.dumps(message) for message in some]
            while len(rest) < len(expected) and (more := await _more(held)):
                rest += more
            pairs = zip(expected, rest, strict=False)
            equal = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
            if equal is not None:
                return _differs(at + equal)
            if len(rest) < len(expected):
                return _differs(at + len(rest)) if whole else ""
            del rest[: len(expected)]
            at += len(expected)
    return _differs(at) if rest or await _more(held) else ""


async def _more(held: AsyncGenerator[list[bytes]]) -> list[bytes]:
    async for some in held:
        return some
    return []


async def _held(session: Session, head: Page, *, contract: bool) -> AsyncGenerator[list[bytes]]:
    """Yield what a session holds, some messages at a time, all of one state of it."""
    seq = head.first
    while seq < head.next:
        page = await session.page(after=seq - 1, limit=_PAGE, consistency=NEWEST)
        if page.version != head.version or page.end == seq:
            raise _MovedError
        chunks = page.views if contract else page.bodies
        yield b"\n".join(chunks).split(b"\n")
        seq = page.end


def expected(sent: ContractMessage, view: bytes) -> bytes:
    """
    Return how a message would look here; an id and a time it had not may be any.

    Raises:
        DamagedSessionError: what is here cannot be read.
    """
    held: dict[str, Any] = {}
    if sent.id is None or sent.created_at is None:
        try:
            held = orjson.loads(view)
        except orjson.JSONDecodeError as error:
            raise DamagedSessionError("a stored message cannot be read") from error
    return orjson.dumps(
        {
            "role": sent.role,
            "content": sent.content,
            "id": held.get("id") if sent.id is None else sent.id,
            "created_at": held.get("created_at") if sent.created_at is None else sent.created_at,
            "persisted_at": sent.persisted_at,
            "discrete_memory_extracted": sent.extracted,
        }
    )


def _equal_fields(held: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
    one, other = (orjson.dumps(fields, option=orjson.OPT_SORT_KEYS) for fields in (held, sent))
    return one == other


def _differs(at: int) -> str:
    return f"message {at} is not the same"
