"""The library's face: a cache, and handles of its sessions."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from memory_cache._config import CacheConfig
from memory_cache._entries import Ask
from memory_cache._errors import InvalidInputError
from memory_cache._follow import Followable, Follower
from memory_cache._json import stored_json
from memory_cache._listener import Listener
from memory_cache._names import checked_name, session_key
from memory_cache._near import NearCache
from memory_cache._page import Page, SessionList
from memory_cache._ports import FOREVER, KEEP_TICKING, Clock, Store
from memory_cache._put import Known, Putter
from memory_cache._reads import Reader
from memory_cache._stats import Counters, Statistics, snapshot
from memory_cache._types import BOUNDED, NEWEST, Consistency, Header, SessionKey
from memory_cache._view import ContractMessage
from memory_cache._wishes import (
    UNCHANGED,
    IfVersion,
    Word,
    count_of,
    limit_of,
    offset_of,
    ttl_of,
    wish_of,
)
from memory_cache._writes import Change, Writer, bodies_of, fingerprint


@dataclass(frozen=True, slots=True)
class Parts:
    """What a cache is made of."""

    store: Store
    near: NearCache
    listener: Listener
    reader: Reader
    writer: Writer
    clock: Clock
    config: CacheConfig
    counters: Counters


class SessionCache:
    """Working memory of many sessions; make one with ``open_cache`` and share it."""

    def __init__(self, parts: Parts) -> None:
        """Use these parts; whoever made them closes them."""
        self._parts = parts
        self.config: Final = parts.config
        self._loop = asyncio.get_running_loop()
        self._putter = Putter(parts.writer, parts.reader)
        self._follower = Follower(parts.near, parts.reader, parts.clock, parts.config)

    def __repr__(self) -> str:
        """Say what one wants to know in an incident."""
        now = self.statistics()
        return (
            f"<SessionCache [{now.sessions_held} sessions | {now.bytes_held} of"
            f" {now.bytes_budget} bytes | lease {now.lease_seconds:.3f} s]>"
        )

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop on which it was opened: whatever awaits must be awaited there."""
        return self._loop

    def session(
        self, session_id: str, *, namespace: str | None = None, user_id: str | None = None
    ) -> "Session":
        """
        Return a handle of a session, whether it exists or not; nothing is sent.

        Raises:
            InvalidNameError: the id is empty, or a name is not printable text of up to 512 bytes.
        """
        key = session_key(session_id, namespace, user_id)
        return Session(key, self._follower, self._parts.reader, self._parts.writer, self._putter)

    async def list_sessions(
        self,
        *,
        namespace: str | None = None,
        user_id: str | None = None,
        limit: int = 20,
        offset: int = 0,
        newest_first: bool = True,
    ) -> SessionList:
        """
        Return sessions by activity (noted some seconds apart), and how many there are.

        Raises:
            StoreError: the store does not answer.
            InvalidInputError: limit or offset is out of range.
            InvalidNameError: a name is not printable text of up to 512 bytes.
        """
        sessions, total = await self._parts.store.list_sessions(
            checked_name("namespace", namespace or ""),
            checked_name("user_id", user_id or ""),
            limit=limit_of(limit),
            offset=offset_of(offset),
            newest_first=newest_first,
        )
        return SessionList(tuple(sessions), total)

    async def find(
        self,
        session_id: str,
        *,
        namespace: str | None = None,
        user_id: str | None = None,
        limit: int = 20,
    ) -> tuple[SessionKey, ...]:
        """
        Return sessions that have this id; a scope that is given must be theirs.

        It is always the store's answer. Whether there is just one, a ``limit`` of 2 tells.

        Raises:
            StoreError: the store does not answer.
            ScopeNeededError: there are too many to look through; ``field`` says what to give, too.
            InvalidInputError: the limit is not 1 to 1000.
            InvalidNameError: as ``session``.
        """
        key, most = session_key(session_id, namespace, user_id), limit_of(limit)
        return tuple(await self._parts.store.find(key.session_id, key.namespace, key.user_id, most))

    def statistics(self) -> Statistics:
        """Return counters, and what the near cache holds at this moment."""
        near, lease = self._parts.near, self._parts.near.lease
        return snapshot(
            self._parts.counters,
            sessions_held=near.sessions_held,
            bytes_held=near.bytes_held,
            bytes_budget=self._parts.config.near_cache_bytes,
            lease=lease.until - self._parts.clock.now(),
        )


class Session(Followable):
    """
    A handle of one session. It holds no data: it is cheap to make and to throw away.

    Every method that awaits may raise ``StoreError``, and ``DamagedSessionError`` if what is
    stored cannot be read. Any may raise ``InvalidInputError`` where a parameter is out of range.
    Changes share three of them:

    - ``if_version``: a version (or ``ABSENT``); else ``VersionMismatchError``, nothing changed.
    - ``operation_id``: the caller's name for this change, remembered for ten minutes
      (``CacheConfig.operation_seconds``). The same change under the same id is done once and
      then answered with its first result; another one is refused (``OperationReusedError``).
    - ``ttl_seconds``: from now on the whole session lives that long after each of our writes.

    Cancelled, a change may or may not be made, whole; a read leaves nothing.
    """

    __slots__ = ("_putter", "_reader", "_writer")

    def __init__(
        self, key: SessionKey, follower: Follower, reader: Reader, writer: Writer, putter: Putter
    ) -> None:
        """Use the cache's own parts; see ``SessionCache.session``."""
        super().__init__(key, follower)
        self._reader = reader
        self._writer = writer
        self._putter = putter

    def large(self) -> "Session":
        """Return a handle that writes up to ``CacheConfig.max_large_bytes``, but for ``put``."""
        writer = self._writer.large
        return Session(self.key, self._follower, self._reader, writer, self._putter)

    async def append(
        self,
        messages: Mapping[str, object] | Sequence[Mapping[str, object]],
        *,
        if_version: IfVersion = None,
        operation_id: str | None = None,
        ttl_seconds: int | None = None,
    ) -> Change:
        """
        Add one message or several at the end, all or none; the session is made if need be.

        Raises:
            InvalidInputError: a message is not an object that JSON keeps unchanged.
            TooLargeError: a message or the session would be over its limit.
        """
        stored = await self._writer.write(self.key, messages)
        wish = wish_of(if_version, operation_id, ttl_of(ttl_seconds))
        print_ = fingerprint("append", str(wish.ttl_ms), *bodies_of(stored))
        return await self._writer.append(self.key, stored, print_, wish)

    def peek(self, n: int, *, by_created_at: bool = False) -> Page | None:
        """Return the newest ``n`` messages without waiting; None: the near cache may not answer."""
        return self._reader.peek(self.key, Ask(count_of("n", n), by_created_at))

    def validator(self) -> Callable[[Header], bool]:
        """
        Return a function for who keeps what it made of a page: may it be given out again?

        It takes the page's ``header`` and does not wait. True, the page is what ``peek`` would
        return at this moment, and it counts as a hit; False, peek again.
        """
        return self._reader.validator(self.key)

    async def recent(
        self, n: int, *, consistency: Consistency = BOUNDED, by_created_at: bool = False
    ) -> Page:
        """
        Return the newest ``n`` messages; of a session that does not exist, none.

        ``by_created_at``: the last ``n`` of all messages in a stable sort by created_at, which
        is the contract's order; else the last ``n`` that were appended.

        Raises:
            VersionLostError: the store does not have the version asked for.
            VersionTimeoutError: it did not arrive in time.
        """
        ask = Ask(count_of("n", n), by_created_at)
        return await self._reader.recent(self.key, ask, consistency)

    async def page(
        self,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
        consistency: Consistency = BOUNDED,
    ) -> Page:
        """
        Return up to ``limit`` messages before or after a seq; with neither, the newest.

        Raises:
            InvalidInputError: both are given, or a number is out of range.
            VersionLostError, VersionTimeoutError: as ``recent``.
        """
        if before is not None and after is not None:
            raise InvalidInputError("after", "cannot be combined with before")
        limit = limit_of(limit)
        if (before or 0) < 0 or (after or 0) < -1:
            raise InvalidInputError("before" if after is None else "after", "is below every seq")
        if before is None and after is None:
            return await self.recent(limit, consistency=consistency)
        return await self._reader.page(
            self.key, before=before, after=after, limit=limit, consistency=consistency
        )

    async def expires_in(self) -> float | None:
        """Return the seconds the store gives it from now; None: it does not expire, or is not."""
        span = await self._writer.store.tail(self.key, 0)
        return None if span is None or span.left_ms == FOREVER else span.left_ms / 1000

    async def transcript(self, *, consistency: Consistency = NEWEST) -> Page:
        """
        Return everything: the store's newest, joined from blocks.

        Raises:
            VersionLostError, VersionTimeoutError: as ``recent``.
        """
        return await self._reader.transcript(self.key, consistency)

    async def window(self, max_tokens: int, *, consistency: Consistency = NEWEST) -> Page:
        """
        Return the longest suffix of at most ``max_tokens``, at least one message if any.

        Raises:
            VersionLostError, VersionTimeoutError: as ``recent``.
        """
        return await self._reader.window(self.key, max_tokens, consistency)

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """
        Yield every message, read block by block, all of one version.

        Raises:
            TranscriptEditedError: the transcript was edited meanwhile.
        """
        async for page in self._reader.iterate(self.key):
            for message in page.messages:
                yield message

    async def pop(
        self, *, if_version: IfVersion = None, operation_id: str | None = None
    ) -> dict[str, Any] | None:
        """Remove the last message and return it; None if there is none."""
        body = await self._writer.pop(self.key, wish_of(if_version, operation_id, None))
        return None if body is None else stored_json(body)

    async def replace(
        self,
        messages: Sequence[Mapping[str, object]],
        fields: Mapping[str, object] | None = None,
        *,
        if_version: IfVersion = None,
        operation_id: str | None = None,
        ttl_seconds: int | None = None,
    ) -> Change:
        """
        Put these messages, and these fields if they are given, in place of what there is.

        Raises:
            InvalidInputError, TooLargeError: as ``append``.
        """
        stored = await self._writer.write(self.key, messages)
        text = None if fields is None else self._writer.fields(fields)
        wish = wish_of(if_version, operation_id, ttl_of(ttl_seconds))
        print_ = fingerprint("replace", str(wish.ttl_ms), text or b"", *bodies_of(stored))
        return await self._writer.replace(self.key, stored, text, print_, wish)

    async def put(
        self,
        messages: Sequence[ContractMessage],
        fields: Mapping[str, object],
        *,
        ttl_seconds: int | None = None,
        if_version: IfVersion = None,
        operation_id: str | None = None,
        given: bytes = b"",
        record: bytes = b"",
        known: Known | None = None,
    ) -> tuple[Change, Page]:
        """
        Make the session hold just these contract messages and fields, as a contract PUT does.

        A stored message that is equal at its position keeps its id, time and bytes; a PUT that
        only grew costs what was added. Without ``ttl_seconds`` an earlier deadline goes on
        ticking, and later writes no longer restart it. The page is what was sent as it is kept
        now, in the contract's form.

        ``given``: what the operation id stands for, where the caller filled in something that
        another try would fill in differently; else the messages and fields do.

        ``record`` is kept for ``put_record`` until the next change. ``known``: the caller has
        found that its transcript begins with the first messages of a version, and ``messages``
        are those after them.

        Raises:
            InvalidInputError, TooLargeError: as ``append``.
            VersionMismatchError: the session is not at the version that is known; nothing changed.
        """
        ttl_ms = KEEP_TICKING if ttl_seconds is None else ttl_of(ttl_seconds)
        wish = replace(wish_of(if_version, operation_id, ttl_ms), put_record=record, input=given)
        return await self._putter.put(self.key, messages, self._writer.fields(fields), wish, known)

    async def put_record(self) -> tuple[Known, bytes] | None:
        """Return what the session holds, and what its last change left as its record, if any."""
        found = await self._writer.store.put_record(self.key)
        if found is None:
            return None
        header, record = found
        return Known(header, header.next - header.first), record

    async def set_fields(
        self,
        fields: Mapping[str, object],
        *,
        if_version: IfVersion = None,
        operation_id: str | None = None,
        ttl_seconds: int | Literal[Word.UNCHANGED] | None = UNCHANGED,
        given: bytes = b"",
    ) -> Change:
        """
        Replace the fields that are given, clear those given as None, leave the others.

        ``ttl_seconds``: None takes the time to live away. ``given``: as in ``put``.

        Raises:
            InvalidInputError, TooLargeError: the fields cannot be kept.
        """
        if ttl_seconds is UNCHANGED:
            ttl_ms = None
        else:
            ttl_ms = 0 if ttl_seconds is None else ttl_of(ttl_seconds)
        wish = replace(wish_of(if_version, operation_id, ttl_ms), input=given)
        return await self._writer.set_fields(self.key, fields, wish)

    async def relist(self) -> None:
        """
        Have the session listed and found, if it exists, where it is not; its place stays its own.

        It is not where a process was killed right after it had made it; its next change would do.
        """
        await self._writer.presence.restore(self.key)

    async def delete(
        self, *, if_version: IfVersion = None, operation_id: str | None = None
    ) -> Change:
        """Delete the session; ``existed`` says whether there was one."""
        return await self._writer.delete(self.key, wish_of(if_version, operation_id, None))
