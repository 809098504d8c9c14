"""What reads return: a contiguous run of messages at one version, as bytes until asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from memory_cache._json import stored_fields, stored_json
from memory_cache._types import Header, Meta, SessionKey, Tier, Version


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Page:
    """
    Messages ``[start, end)`` of a session, at one version.

    Attributes:
        key: the session.
        start, end: the seqs the messages are at. By created_at, ``end - start`` is their number.
        bodies: canonical messages; each item is one message, or several joined by newlines.
        views: the same in the contract's six-field form.
        metas: what is known beside each message; None where a whole transcript was joined.
        header: what the session is; None if it does not exist, and then all else is empty.
        fields_json: the session's fields as a JSON object.
        tier: where the answer came from.
    """

    key: SessionKey
    start: int
    end: int
    bodies: Sequence[bytes]
    views: Sequence[bytes]
    metas: Sequence[Meta] | None
    header: Header | None
    fields_json: bytes
    tier: Tier

    @classmethod
    def missing(cls, key: SessionKey) -> Self:
        """Return the page of a session that does not exist: empty, by the store's word."""
        return cls(key, 0, 0, (), (), (), None, b"{}", Tier.STORE)

    @property
    def exists(self) -> bool:
        """Whether there is such a session."""
        return self.header is not None

    @property
    def version(self) -> Version | None:
        """The version the page is of; None if the session does not exist."""
        return self.header.version if self.header else None

    @property
    def first(self) -> int:
        """The seq of the oldest message of the session."""
        return self.header.first if self.header else 0

    @property
    def next(self) -> int:
        """The seq the next message of the session will get."""
        return self.header.next if self.header else 0

    @property
    def token_count(self) -> int:
        """Tokens of all messages of the session, as counted by us."""
        return self.header.token_count if self.header else 0

    @property
    def ttl_seconds(self) -> int | None:
        """The time to live that every write restarts, in seconds; None if there is none."""
        return self.header.ttl_ms // 1000 or None if self.header else None

    @property
    def created_at(self) -> int:
        """When the session was created: microseconds since the epoch, by the store's clock."""
        return self.header.created if self.header else 0

    @property
    def updated_at(self) -> int:
        """When the session was last changed: microseconds since the epoch."""
        return self.header.updated if self.header else 0

    @property
    def json(self) -> bytes:
        """The messages as stored: a JSON array."""
        return _array(self.bodies)

    @property
    def view_json(self) -> bytes:
        """The messages in the contract's form: a JSON array."""
        return _array(self.views)

    def view_json_between(self, before: bytes, after: bytes) -> bytes:
        """Return ``view_json`` between two texts without newlines, in one piece: it may be long."""
        return _array(self.views, before, after)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """
        The messages as stored, parsed anew at each call.

        Raises:
            DamagedSessionError: the store's are not JSON.
        """
        parsed: list[dict[str, Any]] = stored_json(self.json)
        return parsed

    @property
    def fields(self) -> dict[str, Any]:
        """
        The fields, parsed anew at each call.

        Raises:
            DamagedSessionError: the store's are no object of JSON.
        """
        return stored_fields(self.fields_json)

    @property
    def token_counts(self) -> tuple[int, ...] | None:
        """Tokens of each message; None for a whole transcript (see ``token_count``)."""
        return None if self.metas is None else tuple(meta.tokens for meta in self.metas)

    def fit(self, max_tokens: int) -> Self:
        """
        Return the longest suffix of at most ``max_tokens``, with at least one message.

        Raises:
            ValueError: this page knows no count per message.
        """
        if self.metas is None:
            reason = "the page of a whole transcript has no count per message"
            raise ValueError(reason)
        keep = fitting(self.metas, max_tokens)
        cut = len(self.metas) - keep
        return replace(
            self,
            start=self.start + cut,
            bodies=self.bodies[cut:],
            views=self.views[cut:],
            metas=self.metas[cut:],
        )


@dataclass(frozen=True, slots=True)
class SessionList:
    """A page of sessions, and how many there are in all."""

    sessions: tuple[SessionKey, ...]
    total: int


def fitting(metas: Sequence[Meta], max_tokens: int) -> int:
    """Return how many of the newest messages fit, at least one if there is any."""
    total = 0
    for taken, meta in enumerate(reversed(metas)):
        total += meta.tokens
        if total > max_tokens:
            return max(taken, 1)
    return len(metas)


def _array(chunks: Sequence[bytes], before: bytes = b"", after: bytes = b"") -> bytes:
    if not chunks:
        return before + b"[]" + after
    parts = list(chunks)
    parts[0] = before + b"[" + parts[0]
    parts[-1] += b"]" + after
    # Canonical JSON holds no raw newline, so every one here stands between two messages.
    return b",".join(parts).replace(b"\n", b",")
