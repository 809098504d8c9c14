"""The store on Redis: one hash per session (docs/design.md), one script per change."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from memory_cache._blocks import Block, block_of
from memory_cache._config import CacheConfig
from memory_cache._ending import end
from memory_cache._errors import (
    StoreError,
    TooLargeError,
)
from memory_cache._ports import Condition, Have, Outcome, Rewrite, Span, Terms
from memory_cache._redis.errors import translating
from memory_cache._redis.index import Index
from memory_cache._redis.keys import PUBLISH, Keys
from memory_cache._redis.lane import Argument, Lane
from memory_cache._redis.plans import (
    ABSENT,
    LOOSE_BYTES,
    Plan,
    appending,
    editing,
    loosened,
    numbers_of,
)
from memory_cache._redis.replies import LateError, outcome_of, session_limit, span_of
from memory_cache._redis.script import APPEND, ASK, DELETE, READ, REWRITE, Script
from memory_cache._redis.server_clock import ServerClock
from memory_cache._redis.slices import Slices, header_of
from memory_cache._sidecar import line
from memory_cache._types import Header, SessionKey, StoredMessage

_APPEND_BYTES: Final = 1024 * 1024
_APPEND_MESSAGES: Final = 2048
"""A larger append is written aside; one of these holds the server for some 8 ms."""

_REWRITE_BYTES: Final = 1024 * 1024
_REWRITE_NAMES: Final = 8192
"""An edit that writes or removes more is written aside; one of these takes some 5 ms."""

_READ_BYTES: Final = 1024 * 1024
"""What the script that reads returns itself; the rest is fetched by plain commands."""

_STAGED_MS: Final = 60_000
_WAIT_MS: Final = 1000
"""So long after its last slice others wait for a large append, then it counts as given up."""

_PATIENCE_SECONDS: Final = 1.5
_TRIES: Final = 4
"""How often a large change begins again when others were faster; then it is made in one piece."""


class RedisStore:
    """Implements the ``Store`` port over two lanes: one for what is small, one for bulk."""

    def __init__(
        self, lane: Lane, bulk: Lane, keys: Keys, clock: ServerClock, config: CacheConfig
    ) -> None:
        """Use the lanes until ``aclose``."""
        self._lane = lane
        self._bulk = bulk
        self._keys = keys
        self._clock = clock
        self._config = config
        self._index = Index(lane, keys)
        self._slices = Slices(bulk)
        self._tasks: list[asyncio.Task[None]] = []

    def until_closed(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside until ``aclose``."""
        self._tasks.append(asyncio.create_task(work, name="memory-cache-renewal"))

    async def append(
        self,
        key: SessionKey,
        messages: Sequence[StoredMessage],
        fields: bytes | None,
        terms: Terms,
    ) -> Outcome:
        """Add messages and replace the fields; see the port. Many are written aside first."""
        size = sum(len(message.body) for message in messages)
        if size > _APPEND_BYTES or len(messages) > _APPEND_MESSAGES:
            outcome = await self._large(
                key, fields, terms, lambda: self._appending(key, messages, size)
            )
            if outcome is not None:
                return outcome
        own: list[Argument] = [
            len(messages),
            size,
            sum(message.meta.tokens for message in messages),
            LOOSE_BYTES,
            *(line(message.meta) for message in messages),
            *(message.body for message in messages),
        ]
        lane = self._bulk if size > _APPEND_BYTES else self._lane
        return await self._change(lane, APPEND, key, fields, terms, own)

    async def rewrite(
        self, key: SessionKey, change: Rewrite, fields: bytes | None, terms: Terms
    ) -> Outcome:
        """Edit; see the port. A large one is written aside first."""
        if change.size > self._config.max_session_bytes:
            raise TooLargeError("messages", session_limit(self._config))
        written = sum(len(value) for _, value in change.pairs)
        base = "" if change.whole else _base(terms.condition)
        if change.scattered:
            base = None  # what is written aside is all from some block on
        if base is not None and (written > _REWRITE_BYTES or len(change.gone) > _REWRITE_NAMES):
            outcome = await self._large(key, fields, terms, lambda: _editing(change, base))
            if outcome is not None:
                return outcome
        own: list[Argument] = [
            int(change.whole),
            *numbers_of(change),
            *(0, "", 0, 0),
            len(change.gone),
            *change.gone,
            *(part for pair in loosened(change.pairs, change.first) for part in pair),
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
        return await self._slices.blocks(self._keys.session(key), numbers, header)

    async def digests(
        self, key: SessionKey, numbers: Sequence[int], header: Header
    ) -> dict[int, bytes] | None:
        """Return digests of sealed blocks; see the port."""
        if not numbers:
            return {}
        name, names = self._keys.session(key), [f"d{number}" for number in numbers]
        found = await self._slices.values(name, names, header)
        if found is None:
            return None
        return {number: digest for number in numbers if (digest := found[f"d{number}"]) is not None}

    async def put_record(self, key: SessionKey) -> tuple[Header, bytes] | None:
        """Return the record of the session's last PUT; see the port."""
        with translating(applied="no"):
            line, record = await self._lane.call("HMGET", self._keys.session(key), "h", "p")
        if line is None:
            return None
        header = header_of(line)
        tag, _, text = (record or b"").partition(b" ")
        return header, text if tag == header.tag.encode() else b""

    async def touch(
        self, key: SessionKey, expires_ms: int | None, *, since: int | None = None
    ) -> None:
        """Enter the session into the index; see the port."""
        with translating(applied="no"):
            await self._index.touch(key, expires_ms, since)

    async def list_sessions(
        self, namespace: str, user_id: str, *, limit: int, offset: int, newest_first: bool
    ) -> tuple[list[SessionKey], int]:
        """Return a page of sessions and their number; see the port."""
        with translating(applied="no"):
            return await self._index.list_sessions(
                namespace, user_id, limit=limit, offset=offset, newest_first=newest_first
            )

    async def find(
        self, session_id: str, namespace: str, user_id: str, limit: int
    ) -> list[SessionKey]:
        """Return sessions with this id; see the port."""
        with translating(applied="no"):
            return await self._index.find(session_id, namespace, user_id, limit)

    async def forget(self, key: SessionKey) -> None:
        """Remove the index entries of a session that is gone; see the port."""
        with translating(applied="no"):
            await self._index.forget([key])

    async def aclose(self) -> None:
        """Close both lanes, and end what runs beside them."""
        await end(self._tasks)
        await self._lane.aclose()
        await self._bulk.aclose()
        # A transport lets its socket go in the next turn of the loop, which may be the last one.
        await asyncio.sleep(0)

    async def _large(
        self,
        key: SessionKey,
        fields: bytes | None,
        terms: Terms,
        plan: Callable[[], Awaitable[Plan]],
    ) -> Outcome | None:
        """
        Write what a change consists of in slices, then make it; None: others were faster.

        Cancelled or failed, it leaves a record aside, which expires, or fields beyond the
        session's end, which the next change takes away.
        """
        for _ in range(_TRIES):
            # Done before, refused, or not to be made: then there is nothing to write.
            outcome = await self._run(self._lane, ASK, key, None, terms, [])
            if outcome is None:
                outcome = await self._planned(key, fields, terms, await plan())
            if outcome is not None:
                return outcome
        return None

    async def _planned(
        self, key: SessionKey, fields: bytes | None, terms: Terms, plan: Plan
    ) -> Outcome | None:
        name, staged = self._keys.session(key), self._keys.staged(key, terms.tag)
        count: int | None = 0
        if plan.beyond:
            count = await self._slices.beyond(name, plan, terms.tag, _WAIT_MS, _PATIENCE_SECONDS)
        elif plan.base not in {"", ABSENT}:
            count = await self._slices.copy(name, staged, plan.base, plan.stop, _STAGED_MS)
            if count is None:
                await self._slices.forget(staged)
        if count is None:
            return None
        if not plan.beyond:
            count += await self._slices.write(staged, plan.pairs, _STAGED_MS)
        own: list[Argument] = [
            *(int(not plan.beyond), *plan.numbers),
            *(0 if plan.beyond else count, plan.base, int(plan.appends)),
            count if plan.beyond else 0,
            len(plan.gone),
            *plan.gone,
            *(part for pair in plan.last for part in pair),
        ]
        return await self._run(self._bulk, REWRITE, key, fields, terms, own)

    async def _appending(
        self, key: SessionKey, messages: Sequence[StoredMessage], size: int
    ) -> Plan:
        span = await self.tail(key, 1)
        if size + (span.header.size if span else 0) > self._config.max_session_bytes:
            raise TooLargeError("messages", session_limit(self._config))
        return appending(span, messages, size)

    async def _change(  # noqa: PLR0917  # six things, of six types
        self,
        lane: Lane,
        script: Script,
        key: SessionKey,
        fields: bytes | None,
        terms: Terms,
        own: Sequence[Argument],
    ) -> Outcome:
        outcome = await self._run(lane, script, key, fields, terms, own)
        if outcome is None:
            raise StoreError("the session changes too fast to be changed")
        return outcome

    async def _run(  # noqa: PLR0917  # as above
        self,
        lane: Lane,
        script: Script,
        key: SessionKey,
        fields: bytes | None,
        terms: Terms,
        own: Sequence[Argument],
    ) -> Outcome | None:
        """Return what became of a change; None: nothing, but it may be tried."""
        names = [
            self._keys.session(key),
            self._keys.operation(key, terms.operation.id),
            self._keys.staged(key, terms.tag),
        ]
        for _ in range(_TRIES):
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
                    self._clock.after(self._config.resend_seconds / 2),
                    *own,
                )
            try:
                outcome = outcome_of(reply, terms, self._config)
            except LateError as late:
                self._clock.heard(late.ms)
                continue
            if outcome is not None and outcome.header is not None and not outcome.replayed:
                self._clock.heard(outcome.header.updated / 1000)
            return outcome
        raise StoreError("the store's clock does not stand still enough to change anything")

    async def _read(
        self, key: SessionKey, mode: str, count: int, bound: int, have: Have | None
    ) -> Span | None:
        known: list[Argument] = ["", "", "", -1, 0]
        if have is not None:
            header = have.header
            known = [header.inc, header.edits, have.next, header.fields_num, have.reach]
        name = self._keys.session(key)
        for left in reversed(range(_TRIES)):
            # Edited under us again and again: in one piece, then.
            room = _READ_BYTES if left else 2**53
            with translating(applied="no"):
                reply = await self._lane.run_script(READ, [name], mode, count, bound, *known, room)
            if not reply:
                return None
            line, left_ms, fields, start, *chunks = reply
            header = header_of(line)
            parts = list(
                enumerate(zip(chunks[::2], chunks[1::2], strict=True), block_of(int(start)))
            )
            absent = [number for number, (side, _) in parts if side is None]
            found = await self._slices.blocks(name, absent, header) if absent else {}
            if found is not None:
                blocks = [
                    found.get(number) or Block(0, bodies, side) for number, (side, bodies) in parts
                ]
                return span_of(header, left_ms, fields or None, int(start), blocks)
        raise AssertionError("unreachable: the last try reads in one piece")


async def _editing(change: Rewrite, base: str) -> Plan:
    return editing(change, base)


def _base(condition: Condition | None) -> str | None:
    """Return the version that a condition names; None: it names none."""
    if condition is None or condition.fields_num is not None:
        return None
    return _condition(condition)


def _condition(condition: Condition | None) -> str:
    if condition is None:
        return ""
    version = condition.version
    if version is None:
        return "absent"
    if condition.fields_num is not None:
        return f"fields {version.inc} {version.era} {condition.fields_num}"
    return f"{version.inc} {version.num} {version.tag}"
