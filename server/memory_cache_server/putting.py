"""
The PUT of a session: the short way for a transcript that only grew, else the whole one.

Both leave the same state and give the same answer; the short way is taken only where it is
certain, and whatever stops it, the whole way words the error.
"""

import asyncio
import re
import sys
from dataclasses import dataclass, replace
from typing import Final

import orjson
from cachetools import LRUCache
from fastapi import Request

from memory_cache import (
    NEWEST,
    Change,
    ContractMessage,
    DamagedSessionError,
    InvalidNameError,
    Known,
    MemoryCacheError,
    Page,
    Session,
    SessionCache,
    SessionKey,
    StoreError,
    VersionMismatchError,
    at_least,
)
from memory_cache_server import inputs
from memory_cache_server.conditional import change_terms
from memory_cache_server.contract_input import checked_messages, fields_of
from memory_cache_server.errors import Problem
from memory_cache_server.names import session_of
from memory_cache_server.offload import GROWING_BODY, LONG_BODY, Offload
from memory_cache_server.put_parse import (
    Expected,
    ParsedPut,
    parse_put,
    parse_put_packed,
    unpacked,
)
from memory_cache_server.put_prefix import SMALLEST_BODY, match, record_after
from memory_cache_server.put_record import PutRecord
from memory_cache_server.schemas import PutSession
from memory_cache_server.settings import Settings

_CONDITIONS: Final = ("idempotency-key", "if-match", "if-none-match")
"""Headers that take the whole way: they are about all of the input, or need the session first."""

_SCOPE_COST: Final = 512
"""Bytes charged for a scope that was met, beside its names."""
_TAIL_BYTES: Final = 4096
_SCOPE: Final = re.compile(rb'"(namespace|user_id)"\s*:\s*("(?:[^"\\]|\\.)*"|null)')

_Scope = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Put:
    """
    What a PUT did. ``page``: the whole transcript, or only its new end if ``cut``.

    ``undated``: whether a message came without created_at. ``echo``: all messages in the
    contract's form, joined by commas, where the body has them so.
    """

    change: Change
    page: Page
    session: Session
    undated: bool
    cut: bool
    echo: bytes | memoryview | None = None

    async def whole_page(self) -> Page:
        """
        Return the whole transcript; it may have grown since, but not less.

        With ``echo`` its messages are not read for it.

        Raises:
            StoreError: it cannot be read; the PUT is done all the same, and it says so.
        """
        if not self.cut or self.change.version is None:
            return self.page
        if self.echo is not None:
            return replace(self.page, start=self.page.first)
        wanted = NEWEST if self.change.replayed else at_least(self.change.version)
        try:
            return await self.session.transcript(consistency=wanted)
        except MemoryCacheError as error:
            reason = "the PUT is done, but the session could not be read back"
            raise StoreError(reason, applied="yes") from error


class Putting:
    """Carries out PUTs for one application."""

    def __init__(self, cache: SessionCache, settings: Settings, fingerprint: str) -> None:
        self._cache = cache
        self._settings = settings
        self._fingerprint = fingerprint
        # The scope is in the body, often behind the messages: guess it, and check the guess.
        self._scopes: LRUCache[str, SessionKey] = LRUCache(settings.scopes_bytes, _scope_cost)
        self._offload = Offload()

    async def put(self, request: Request) -> Put:
        """
        Make a session hold what the body says.

        Raises:
            Problem: 400, 413, 422.
            MemoryCacheError: as `Session.put`.
        """
        raw = await inputs.read(request, self._settings.max_body_bytes)
        if len(raw) >= GROWING_BODY:
            self._offload.start()
        session = self._guessed(request, raw)
        if session is None:
            return await self._whole(request, raw, None)
        found = await _remembered(session)
        put = await self._grown(session, raw, *found) if found else None
        if put is not None:
            return put
        held = found[0].held if found else 0
        return await self._whole(request, raw, Expected(session.key, held, self._fingerprint))

    def close(self) -> None:
        """End the process beside the worker."""
        self._offload.close()

    async def _grown(self, session: Session, raw: bytes, held: Known, data: bytes) -> Put | None:
        """Put a body that begins as the one whose record ``data`` is; None: it is another."""
        was = PutRecord.load(data, self._fingerprint)
        grown = match(raw, was) if was else None
        if grown is None:
            return None
        try:
            body = inputs.checked(grown.value, PutSession)
            messages = checked_messages(body.messages, self._settings)
        except Problem:
            return None
        if SessionKey(body.namespace or "", body.user_id or "", session.key[2]) != session.key:
            return None
        record = record_after(raw, grown, messages, held.held)
        try:
            change, page = await session.put(
                messages,
                fields_of(body),
                ttl_seconds=body.ttl_seconds,
                record=record.dump() if record else b"",
                known=Known(held.header, grown.known.messages),
            )
        except VersionMismatchError:
            return None
        undated = grown.known.undated or any(each.created_at is None for each in messages)
        echo = record.echo(raw) if record else None
        return Put(change, page, session, undated, cut=True, echo=echo)

    async def _whole(self, request: Request, raw: bytes, expected: Expected | None) -> Put:
        session_id = request.path_params["session_id"]
        parsed = await self._parsed(request, raw, expected)
        namespace, user_id, _ = parsed.key
        scope = _Scoped(namespace, user_id)
        session = session_of(self._cache, session_id, scope, scope_in=("body",))
        terms = await change_terms(request, session)
        change, page = await session.put(
            parsed.messages,
            parsed.fields,
            ttl_seconds=parsed.ttl_seconds,
            given=raw,
            record=parsed.record,
            **terms,
        )
        self._scopes[session_id] = parsed.key
        # A replay answers for the first time it was done, and shows the session as it is now.
        return Put(change, page, session, parsed.undated, cut=change.replayed)

    async def _parsed(self, request: Request, raw: bytes, expected: Expected | None) -> ParsedPut:
        session_id = request.path_params["session_id"]
        is_json = inputs.is_json(request)
        if is_json and len(raw) >= LONG_BODY:
            args = raw, session_id, self._settings, expected
            parsed = await self._offload.run(parse_put_packed, *args)
            if parsed is not None:
                messages: list[ContractMessage] = []
                for some in parsed.packed:
                    messages.extend(unpacked(some))
                    await asyncio.sleep(0)
                return replace(parsed, messages=messages)
        return parse_put(raw, session_id, self._settings, expected, is_json=is_json)

    def _guessed(self, request: Request, raw: bytes) -> Session | None:
        """Return the session whose last PUT the body may go on from, probably; None: none."""
        if len(raw) < SMALLEST_BODY or not inputs.is_json(request):
            return None
        if any(name in request.headers for name in _CONDITIONS):
            return None
        session_id = request.path_params["session_id"]
        namespace, user_id = self._guess(session_id, raw)
        try:
            return self._cache.session(session_id, namespace=namespace, user_id=user_id)
        except InvalidNameError:
            return None

    def _guess(self, session_id: str, raw: bytes) -> _Scope:
        known = self._scopes.get(session_id)
        if known is not None:
            return known[:2]
        found: dict[bytes, str | None] = {}
        for name, text in _SCOPE.findall(raw[-_TAIL_BYTES:]):
            try:
                found[name] = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue
        return found.get(b"namespace"), found.get(b"user_id")


async def _remembered(session: Session) -> tuple[Known, bytes] | None:
    """Return the record of its last PUT, if it can be read: the session is but a guess."""
    try:
        return await session.put_record()
    except DamagedSessionError:
        return None


def _scope_cost(key: SessionKey) -> int:
    return _SCOPE_COST + sum(map(sys.getsizeof, key))


@dataclass(slots=True)
class _Scoped:
    namespace: str | None
    user_id: str | None
