"""The store on Redis: one hash per session (docs/design.md), one script per change."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any, Final

from memory_cache._blocks import Block, block_of, block_start
from memory_cache._config import CacheConfig
from memory_cache._errors import (
    DamagedSessionError,
    OperationReusedError,
    StoreError,
    TooLargeError,
    VersionMismatchError,
)
from memory_cache._ports import Condition, Have, Outcome, Rewrite, Span, Terms
from memory_cache._redis.errors import translating
from memory_cache._redis.index import Index
from memory_cache._redis.keys import PUBLISH, Keys
from memory_cache._redis.lane import Argument, Lane
from memory_cache._redis.script import APPEND, DELETE, READ, REWRITE, Script
from memory_cache._types import BLOCK, Header, SessionKey, StoredMessage

_STAGE_BYTES: Final = 4 * 1024 * 1024
"""A larger rewrite is written aside in slices of this size and switched by one script."""

_STAGED_MS: Final = 60_000
_SLICE_BLOCKS: Final = 64
"""Sealed blocks read by one HMGET: some 1.5 MB, 1.5 ms of the server's time."""


class RedisStore:
    """Implements the ``Store`` port over two lanes: one for what is small, one for bulk."""

    def __init__(self, lane: Lane, bulk: Lane, keys: Keys, config: CacheConfig) -> None:
        """Use the lanes until ``aclose``."""
        self._lane = lane
        self._bulk = bulk
        self._keys = keys
        self._config = config
        self._index = Index(lane, keys)

    async def append(
        self,
        key: SessionKey,
        messages: Sequence[StoredMessage],
        fields: bytes | None,
        terms: Terms,
    ) -> Outcome:
        """Add messages and replace the fields; see the port."""
        size = sum(len(message.body) for message in messages)
        own: list[Argument] = [
            len(messages),
            size,
            sum(message.meta.tokens for message in messages),
            *(message.meta.line() for message in messages),
            *(message.body for message in messages),
        ]
        lane = self._bulk if size > _STAGE_BYTES else self._lane
        return await self._change(lane, APPEND, key, fields, terms, own)

    async def rewrite(
        self, key: SessionKey, change: Rewrite, fields: bytes | None, terms: Terms
    ) -> Outcome:
        """Edit; see the port. A large one is written aside first."""
        if change.size > self._config.max_session_bytes:
            raise TooLargeError("messages", _session_limit(self._config))
        pairs = list(change.pairs)
        large = change.whole and change.size > _STAGE_BYTES
        staged = len(pairs) if large else 0
        if large:
            await self._stage(self._keys.staged(key, terms.tag), pairs)
            pairs = []
        own: list[Argument] = [
            int(change.whole),
            *(change.first, change.next, change.size, change.token_count, change.max_created),
            *(change.start, change.end),
            staged,
            len(change.gone),
            *change.gone,
            *(part for pair in pairs for part in pair),
        ]
        return await self._change(self._bulk, REWRITE, key, fields, terms, own)

    async def delete(self, key: SessionKey, terms: Terms) -> Outcome:
        """Delete the session; see the port."""
        return await self._change(self._lane, DELETE, key, None, terms, [])

    async def tail(self, key: SessionKey, count: int, have: Have | None = None) -> Span | None:
        """Return the newest messages, or what ``have`` lacks of them; see the port."""
        if have is None:
            return await self._read(key, "tail", count, 0, None)
        span = await self._read(key, "tail", count, 0, have)
        if span is not None and not span.header.holds(have.header.version):
            # Another history: what the reader holds is no prefix of it, nor are its fields.
            return await self._read(key, "tail", count, 0, None)
        return span

    async def range(
        self, key: SessionKey, *, after: int | None, before: int | None, limit: int
    ) -> Span | None:
        """Return messages on one side of a seq; see the port."""
        if after is not None:
            return await self._read(key, "after", limit, after, None)
        if before is not None:
            return await self._read(key, "before", limit, before, None)
        return await self._read(key, "tail", limit, 0, None)

    async def blocks(
        self, key: SessionKey, numbers: Sequence[int], header: Header
    ) -> dict[int, Block] | None:
        """Return sealed blocks, in slices; see the port."""
        # The slices leave together: the server goes from one to the next without waiting for us.
        slices = [numbers[at : at + _SLICE_BLOCKS] for at in range(0, len(numbers), _SLICE_BLOCKS)]
        parts = await asyncio.gather(*(self._slice(key, some, header) for some in slices))
        found: dict[int, Block] = {}
        for part in parts:
            if part is None:
                return None
            found.update(part)
        return found

    async def _slice(
        self, key: SessionKey, numbers: Sequence[int], header: Header
    ) -> dict[int, Block] | None:
        names = [f"{kind}{number}" for number in numbers for kind in "btd"]
        values = await self._sealed(key, names, header)
        if values is None:
            return None
        found: dict[int, Block] = {}
        for i, number in enumerate(numbers):
            bodies, sidecar, digest = values[3 * i : 3 * i + 3]
            if bodies is None or sidecar is None:
                raise DamagedSessionError("a block is missing")
            start = block_start(number, header.first)
            found[number] = Block(start, bodies, sidecar, digest or b"")
        return found

    async def digests(
        self, key: SessionKey, numbers: Sequence[int], header: Header
    ) -> dict[int, bytes] | None:
        """Return digests of sealed blocks; see the port."""
        if not numbers:
            return {}
        values = await self._sealed(key, [f"d{number}" for number in numbers], header)
        if values is None:
            return None
        return {n: digest for n, digest in zip(numbers, values, strict=True) if digest}

    async def put_record(self, key: SessionKey) -> tuple[Header, bytes] | None:
        """Return the record of the session's last PUT; see the port."""
        with translating(applied="no"):
            line, record = await self._lane.call("HMGET", self._keys.session(key), "h", "p")
        if line is None:
            return None
        header = _header(line)
        tag, _, text = (record or b"").partition(b" ")
        return header, text if tag.decode() == header.tag else b""

    async def touch(self, key: SessionKey, expires_ms: int | None) -> None:
        """Enter the session into the index; see the port."""
        with translating(applied="no"):
            await self._index.touch(key, expires_ms)

    async def list_sessions(
        self, namespace: str, user_id: str, *, limit: int, offset: int, newest_first: bool
    ) -> tuple[list[SessionKey], int]:
        """Return a page of sessions and their number; see the port."""
        with translating(applied="no"):
            return await self._index.list_sessions(
                namespace, user_id, limit=limit, offset=offset, newest_first=newest_first
            )

    async def find(self, session_id: str, namespace: str, user_id: str) -> list[SessionKey]:
        """Return the sessions with this id; see the port."""
        with translating(applied="no"):
            return await self._index.find(session_id, namespace, user_id)

    async def aclose(self) -> None:
        """Close both lanes."""
        await self._lane.aclose()
        await self._bulk.aclose()
        # A transport lets its socket go in the next turn of the loop, which may be the last one.
        await asyncio.sleep(0)

    async def _change(  # noqa: PLR0917  # six things, of six types
        self,
        lane: Lane,
        script: Script,
        key: SessionKey,
        fields: bytes | None,
        terms: Terms,
        own: Sequence[Argument],
    ) -> Outcome:
        names = [
            self._keys.session(key),
            self._keys.operation(key, terms.operation.id),
            self._keys.staged(key, terms.tag),
        ]
        with translating():
            reply = await lane.run_script(
                script,
                names,
                PUBLISH,
                self._keys.channel(key),
                terms.tag,
                terms.operation.fingerprint,
                terms.operation.keep_ms,
                _condition(terms.condition),
                "" if terms.ttl_ms is None else terms.ttl_ms,
                int(terms.create),
                secrets.token_hex(8),
                self._config.delta_bytes,
                self._config.max_session_bytes,
                int(fields is not None),
                fields or b"",
                terms.note,
                terms.put_record,
                *own,
            )
        return self._outcome(reply, terms)

    def _outcome(self, reply: list[bytes], terms: Terms) -> Outcome:
        status, tag, line, start, end, note = reply
        if tag.decode() != terms.tag:
            # A reply to somebody else's command: this connection can no longer be trusted.
            raise StoreError("the store's answers are out of step", applied="unknown")
        header = _header(line) if line else None
        if status == b"mismatch":
            raise VersionMismatchError(str(header.version) if header else None)
        if status == b"reused":
            raise OperationReusedError("this operation id was used for something else")
        if status == b"full":
            raise TooLargeError("messages", _session_limit(self._config))
        return Outcome(
            header,
            int(start),
            int(end),
            replayed=status == b"replayed",
            missing=status == b"missing",
            note=note,
        )

    async def _read(
        self, key: SessionKey, mode: str, count: int, bound: int, have: Have | None
    ) -> Span | None:
        known: list[Argument] = ["", "", "", -1, 0]
        if have is not None:
            header = have.header
            known = [header.inc, header.edits, have.next, header.fields_num, have.reach]
        with translating(applied="no"):
            reply = await self._lane.run_script(
                READ, [self._keys.session(key)], mode, count, bound, *known
            )
        return _span(reply) if reply else None

    async def _sealed(
        self, key: SessionKey, names: Sequence[str], header: Header
    ) -> list[bytes | None] | None:
        values: list[bytes | None]
        with translating(applied="no"):
            line, *values = await self._bulk.call("HMGET", self._keys.session(key), "h", *names)
        now = _header(line) if line else None
        if now is None or now.edits != header.edits or not now.holds(header.version):
            return None
        return values

    async def _stage(self, staged: str, pairs: Sequence[tuple[str, bytes]]) -> None:
        at = 0
        with translating(applied="no"):
            while at < len(pairs):
                size, begin = 0, at
                while at < len(pairs) and (at == begin or size + len(pairs[at][1]) < _STAGE_BYTES):
                    size += len(pairs[at][1])
                    at += 1
                some = (part for pair in pairs[begin:at] for part in pair)
                # In one turn: a key without a deadline would stay for ever.
                await asyncio.gather(
                    self._bulk.call("HSET", staged, *some),
                    self._bulk.call("PEXPIRE", staged, _STAGED_MS),
                )


def _span(reply: list[Any]) -> Span:
    line, left_ms, fields, start, *chunks = reply
    header = _header(line)
    messages: list[StoredMessage] = []
    max_before = header.max_created
    for at in range(0, len(chunks), 2):
        block = Block(0, chunks[at + 1], chunks[at])
        if at == 0:
            max_before = block.max_before
        messages.extend(block.messages())
        end = min((block_of(int(start)) + at // 2 + 1) * BLOCK, header.next)
        if int(start) + len(messages) != end:
            raise DamagedSessionError("a block is not whole")
    return Span(header, left_ms, fields or None, int(start), messages, max_before)


def _header(line: bytes) -> Header:
    try:
        return Header.parse(line)
    except ValueError as error:
        raise DamagedSessionError("the header cannot be read") from error


def _condition(condition: Condition | None) -> str:
    if condition is None:
        return ""
    version = condition.version
    if version is None:
        return "absent"
    if condition.fields_num is not None:
        return f"fields {version.inc} {version.era} {condition.fields_num}"
    return f"{version.inc} {version.num} {version.tag}"


def _session_limit(config: CacheConfig) -> str:
    return f"the session would be over {config.max_session_bytes} bytes"
