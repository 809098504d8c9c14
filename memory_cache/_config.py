"""Every limit of the library, with its unit in its name."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Self

KIB = 1024
MIB = 1024 * KIB
MOST_RING_MESSAGES = 10_000
LARGE_DEPTH = 64
"""A handle for large messages takes as much nesting as this, whatever ``max_depth`` is."""


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """
    Settings of one cache; the defaults suit a server process of some hundred megabytes.

    Attributes:
        staleness_seconds: T: no ``bounded`` read is older. The near cache is fenced every T/3.
        near_cache_bytes: budget of rings and sealed blocks; 0 turns the near cache off.
        ring_messages: capacity of one ring. A ring also keeps to an eighth of the budget.
        max_message_bytes: of one canonical message.
        max_session_bytes: of all messages of a session.
        max_fields_bytes: of all fields of a session.
        max_large_bytes: the same two limits for what is written through a handle for large
            messages (``Session.large``), as those of the adapters are.
        max_depth: nesting of arrays and objects in a message.
        max_future_seconds: how far ahead of our clock the created_at of a message may be. One that
            is further ahead, before 1970 or no time is kept as it is, and the message is dated on
            arrival. Clients of agent-memory-server read nothing dated more than 300 s ahead.
        delta_bytes: a larger change is announced on the bus without its messages.
        store_timeout_seconds: how long a reply is waited for (four times as long where whole
            transcripts move), and how long a change whose answer is lost is sent again.
        connect_timeout_seconds: for one attempt to connect; twice that with the first reply.
        credentials_seconds: how often a credential provider is asked whether it has other
            credentials; the connections authenticate again when it has.
        operation_seconds: how long an operation id is remembered.
        resend_seconds: how long the store remembers a change for the worker that made it, which
            sends it again for no longer than ``store_timeout_seconds`` when the answer is lost.
            An attempt that arrives later than half of it after it was sent is not carried out.
        touch_seconds: how often at most a process updates a session's activity in the index.
        presence_bytes: budget of the names of sessions that a process updated there so lately; of
            one that it forgets, the next change costs a round trip more.
        sweep_seconds: how often some hot sessions, in turn, are compared with the store: for what
            sends no message (eviction, a key deleted by hand), and to know that all is well.
        sweep_sessions: how many of them at a time; 0: none.
        prefix: first part of every key and channel; no braces.
        count_tokens: tokens of a text ``"{role}: {content}"``; None: a quarter of its length.
    """

    staleness_seconds: float = 1.0
    near_cache_bytes: int = 64 * MIB
    ring_messages: int = 128
    max_message_bytes: int = 1 * MIB
    max_session_bytes: int = 256 * MIB
    max_fields_bytes: int = 4 * MIB
    max_large_bytes: int = 32 * MIB
    max_depth: int = 64
    max_future_seconds: int = 300
    delta_bytes: int = 64 * KIB
    store_timeout_seconds: float = 2.0
    connect_timeout_seconds: float = 1.0
    credentials_seconds: float = 30.0
    operation_seconds: float = 600.0
    resend_seconds: float = 60.0
    touch_seconds: float = 10.0
    presence_bytes: int = 4 * MIB
    sweep_seconds: float = 10.0
    sweep_sessions: int = 128
    prefix: str = "mc"
    count_tokens: Callable[[str], int] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, at once rather than at the first request."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not isfinite(value):
                reason = f"{field.name} must be a finite number"
                raise ValueError(reason)
        if any(brace in self.prefix for brace in "{}") or not self.prefix.isprintable():
            reason = "prefix: braces and control characters would move the hash tag"
            raise ValueError(reason)
        if not 1 <= self.ring_messages <= MOST_RING_MESSAGES or self.staleness_seconds <= 0:
            reason = f"ring_messages must be 1 to {MOST_RING_MESSAGES}, staleness_seconds positive"
            raise ValueError(reason)
        if self.sweep_seconds <= 0 or self.sweep_sessions < 0:
            reason = "sweep_seconds must be positive, sweep_sessions 0 (none) or more"
            raise ValueError(reason)
        if self.max_future_seconds < 0:
            raise ValueError("max_future_seconds must not be negative")
        if self.resend_seconds < 8 * self.store_timeout_seconds:
            reason = "resend_seconds must be 8 times store_timeout_seconds, or a resend may double"
            raise ValueError(reason)

    def large(self) -> Self:
        """Return the same settings with the limits of a handle for large messages."""
        return replace(
            self,
            max_message_bytes=max(self.max_message_bytes, self.max_large_bytes),
            max_fields_bytes=max(self.max_fields_bytes, self.max_large_bytes),
            max_depth=max(self.max_depth, LARGE_DEPTH),
        )
