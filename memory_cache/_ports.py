"""
What the cache needs of a store, a bus and a clock.

Each method says what its errors and its cancellation leave behind. ``memory_cache.testing``
holds one contract suite for these, which the in-memory pair and a real server both pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from memory_cache._blocks import Block
from memory_cache._types import Header, SessionKey, StoredMessage, Version

FOREVER = -1
"""``left_ms`` of a session that does not expire."""


@dataclass(frozen=True, slots=True)
class Operation:
    """
    The name of one change, so that sending it twice changes once.

    ``fingerprint``: a hash of the input; the same id with another one is refused.
    ``keep_ms``: how long the store remembers it.
    """

    id: str
    fingerprint: str
    keep_ms: int


@dataclass(frozen=True, slots=True)
class Condition:
    """
    What must hold before a change: this version, or (None) that there is no session.

    ``fields_num``: only the fields must be those of that version, whose last change of them it
    is; messages may have been added since, under the same primary.
    """

    version: Version | None
    fields_num: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What every change has.

    Attributes:
        tag: 64 random bits for this attempt, as 16 hex digits.
        operation: recorded with its result; a second attempt finds it.
        condition: checked before anything is changed; None: none.
        ttl_ms: > 0: the time to live from now on; 0: none from now on; None: as it is, and
            restarted if there is one; ``KEEP_TICKING``: forgotten, but the deadline stays.
        create: whether a session that does not exist may be made; its index entries are there.
        note: kept with the record of the operation, and returned by a replay.
        put_record: kept with the session for as long as it is at the version after this change.
    """

    tag: str
    operation: Operation
    condition: Condition | None = None
    ttl_ms: int | None = None
    create: bool = True
    note: bytes = b""
    put_record: bytes = b""


KEEP_TICKING = -1


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a change.

    ``header``: the version after it; of a delete, one that is never current. None: there was
    no session, and nothing was done. ``start``, ``end``: where the messages are.
    ``replayed``: the operation had been done before; this is its first result.
    ``missing``: there is no session and ``create`` was not given; nothing was done.
    """

    header: Header | None
    start: int = 0
    end: int = 0
    replayed: bool = False
    missing: bool = False
    note: bytes = b""


@dataclass(frozen=True, slots=True)
class Span:
    """
    Messages ``[start, start + len(messages))`` of a session at one moment.

    ``max_before``: the largest created_at before ``start``. ``fields``: None if the caller's
    were still right. ``left_ms``: milliseconds to live, ``FOREVER`` if it does not expire.
    """

    header: Header
    left_ms: int
    fields: bytes | None
    start: int
    messages: list[StoredMessage]
    max_before: int


@dataclass(frozen=True, slots=True)
class Have:
    """
    What a reader holds already, so that only the rest is sent.

    It holds all up to ``next``. If no more than ``reach`` messages are new, it is sent just these;
    else as if it held nothing.
    """

    header: Header
    next: int
    reach: int = 0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """
    An edit: what the session holds from now on, told as fields of its record.

    ``whole``: everything before is dropped first, whatever it was; else ``gone`` is removed, which
    only makes sense under a condition, and ``pairs`` are written. Both are about all blocks from
    some block on; ``scattered``: about single blocks, and those between them stay. Such an edit is
    made in one piece, so whoever plans it keeps it small. The numbers go into the header;
    ``start``, ``end`` into the outcome.
    """

    whole: bool
    gone: Sequence[str]
    pairs: Sequence[tuple[str, bytes]]
    first: int
    next: int
    size: int
    token_count: int
    max_created: int
    start: int
    end: int
    scattered: bool = False


class Store(Protocol):
    """
    The transcripts (tier L2).

    Every method raises ``StoreError`` where the store does not do it (for a change, with what
    is known of it in ``applied``) and ``DamagedSessionError`` where the record cannot be
    read. A cancelled change may or may not happen, whole; a cancelled read leaves nothing.
    """

    async def append(
        self,
        key: SessionKey,
        messages: Sequence[StoredMessage],
        fields: bytes | None,
        terms: Terms,
    ) -> Outcome:
        """
        Add messages (none is fine) and replace the fields (None: leave them).

        Raises:
            VersionMismatchError: the condition does not hold.
            OperationReusedError: the operation id was used for something else.
            TooLargeError: the session would be over its limit.
        """

    async def rewrite(
        self, key: SessionKey, change: Rewrite, fields: bytes | None, terms: Terms
    ) -> Outcome:
        """Edit; raises as ``append``."""

    async def delete(self, key: SessionKey, terms: Terms) -> Outcome:
        """Delete the session; raises as ``append``. Its index entries stay; see ``forget``."""

    async def tail(self, key: SessionKey, count: int, have: Have | None = None) -> Span | None:
        """
        Return at least the newest ``count`` messages, or what ``have`` lacks of them.

        None: there is no session.
        """

    async def range(
        self, key: SessionKey, *, after: int | None, before: int | None, limit: int
    ) -> Span | None:
        """
        Return at least the ``limit`` messages next to a bound, as far as there are any.

        Give ``after`` or ``before``, not both; with neither they are the newest. None: there is
        no session.
        """

    async def blocks(
        self, key: SessionKey, numbers: Sequence[int], header: Header
    ) -> dict[int, Block] | None:
        """Return sealed blocks of the header's history; None if it was edited, or lost."""

    async def digests(
        self, key: SessionKey, numbers: Sequence[int], header: Header
    ) -> dict[int, bytes] | None:
        """Return the digests of sealed blocks that have one; None as ``blocks``."""

    async def put_record(self, key: SessionKey) -> tuple[Header, bytes] | None:
        """Return a session's header, and what its last change left as its record (else empty)."""

    async def touch(
        self, key: SessionKey, expires_ms: int | None, *, since: int | None = None
    ) -> None:
        """
        Enter the session into the index as active now.

        ``since``: only where it is missing, and as active then (microseconds since the epoch).
        """

    async def list_sessions(
        self, namespace: str, user_id: str, *, limit: int, offset: int, newest_first: bool
    ) -> tuple[list[SessionKey], int]:
        """Return a page of the sessions of a scope (``""``: any) by activity, and their number."""

    async def find(
        self, session_id: str, namespace: str, user_id: str, limit: int
    ) -> list[SessionKey]:
        """
        Return up to ``limit`` of the sessions with this id in a scope (``""``: any).

        Raises:
            ScopeNeededError: there are too many to look through.
        """

    async def forget(self, key: SessionKey) -> None:
        """Remove the index entries of a session if it is gone."""

    async def aclose(self) -> None:
        """Let go of every connection; calls under way fail."""


@dataclass(frozen=True, slots=True)
class FenceReply:
    """What the node that takes writes answered to a fence."""

    receivers: int
    epoch: str
    replid: str


class BusHandler(Protocol):
    """What a bus tells, in the order in which it heard it. None of these may block."""

    def connected(self) -> None:
        """A new generation began; nothing is subscribed in it."""

    def lost(self, reason: str) -> None:
        """The generation ended."""

    def opened(self, key: SessionKey) -> None:
        """The last SUBSCRIBE sent for this session was confirmed."""

    def message(self, key: SessionKey, payload: bytes) -> None:
        """A change of this session was heard."""

    def nonce(self, nonce: str) -> None:
        """A fence of ours came out of the subscription."""


class Bus(Protocol):
    """The changes of hot sessions, in the order in which the store made them."""

    async def run(self, handler: BusHandler) -> None:
        """Connect, tell, reconnect; returns never, ends by cancellation."""

    def subscribe(self, key: SessionKey) -> None:
        """Send a SUBSCRIBE; ``opened`` tells. Nothing happens while there is no connection."""

    def unsubscribe(self, key: SessionKey) -> None:
        """Send an UNSUBSCRIBE."""

    def drop(self, reason: str) -> None:
        """End the generation; ``lost`` tells, and another is begun."""

    async def fence(self, nonce: str) -> None:
        """
        Publish a nonce to ourselves through the write path, and check what answers.

        Raises:
            StoreError: no answer, or one that ends the generation.
        """


class Clock(Protocol):
    """Time, twice."""

    def now(self) -> float:
        """Return seconds that also pass while the machine is suspended."""

    def wall(self) -> int:
        """Return microseconds since the epoch."""
