"""
Errors, by who broke it.

Every error about a change says in ``applied`` what happened to it. No message of an error
repeats what the caller sent.
"""

from typing import Literal

Applied = Literal["no", "yes", "unknown"]


class MemoryCacheError(Exception):
    """The root of everything this library raises on purpose."""

    code = "error"
    applied: Applied = "no"


# What you sent is wrong.


class InvalidInputError(MemoryCacheError, ValueError):
    """
    What you sent is wrong; nothing was changed.

    ``field`` names the part, such as ``messages[3].content``; ``reason`` says which rule.
    """

    code = "invalid_input"

    def __init__(self, field: str, reason: str) -> None:
        """Name the field and the rule it broke."""
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason

    def __reduce__(self) -> tuple[type["InvalidInputError"], tuple[str, str]]:
        """Travel between processes."""
        return type(self), (self.field, self.reason)


class InvalidNameError(InvalidInputError):
    """A session id, namespace or user id is empty, too long or not printable text."""

    code = "invalid_name"


class InvalidJsonError(InvalidInputError):
    """The text is not JSON, or JSON that could not be kept unchanged."""

    code = "invalid_json"


class ScopeNeededError(InvalidInputError):
    """
    Too many sessions have this id to look through them; nothing was changed.

    ``field`` names what is missing of the scope: with it no other session is looked at.
    """

    code = "scope_needed"


class TooLargeError(InvalidInputError):
    """A message, a request or the session would be over its limit."""

    code = "too_large"


class OperationReusedError(MemoryCacheError):
    """This operation id was used for a change with other input; nothing was changed."""

    code = "operation_reused"


# The session is not in the state you count on.


class VersionMismatchError(MemoryCacheError):
    """The session is not at the version you expected; nothing was changed."""

    code = "version_mismatch"

    def __init__(self, current: str | None) -> None:
        """Say which version is current; None: the session does not exist."""
        super().__init__("the session is not at the expected version")
        self.current = current


class VersionLostError(MemoryCacheError):
    """The store no longer has the version you hold: a failover, a flush or a delete took it."""

    code = "version_lost"


class VersionTimeoutError(MemoryCacheError):
    """The version you asked for did not arrive in time."""

    code = "version_timeout"


class TranscriptEditedError(MemoryCacheError):
    """The transcript was edited while you were reading it; begin again."""

    code = "transcript_edited"


# The world.


class StoreError(MemoryCacheError):
    """
    The store is unreachable, busy, full, read-only, or refused; ``reason`` says which.

    ``applied``: ``no`` where the change cannot have happened, else ``unknown``.
    """

    code = "store_unavailable"

    def __init__(self, reason: str, *, applied: Applied = "no") -> None:
        """Say what the store did, in a few words."""
        super().__init__(reason)
        self.reason = reason
        self.applied = applied


class StoreTimeoutError(StoreError):
    """The store is there and does not answer in time."""


class DamagedSessionError(MemoryCacheError):
    """What the store holds of this session cannot be read; other sessions are not affected."""

    code = "damaged"


class IncompatibleStoreError(MemoryCacheError):
    """The server is too old, or does not say who it is."""

    code = "incompatible_store"


# You.


class NearCacheOffError(MemoryCacheError):
    """What you asked for needs the near cache, and its budget is 0."""

    code = "near_cache_off"


class CacheClosedError(MemoryCacheError):
    """The cache was closed."""

    code = "closed"
