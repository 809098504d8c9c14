"""What callers say of a change beside its content, checked."""

from enum import Enum, auto
from typing import Final, Literal

from memory_cache._errors import InvalidInputError
from memory_cache._ports import Condition
from memory_cache._types import Version
from memory_cache._writes import Wish

MAX_PAGE: Final = 1000
"""Messages, or sessions, in one page."""

MAX_OFFSET: Final = 2**40
"""More than there can be sessions, and less than a store can count."""

MAX_OPERATION_ID: Final = 255

MAX_TTL_SECONDS: Final = 10 * 365 * 24 * 3600


class Word(Enum):
    """Words that stand for no value of their kind."""

    ABSENT = auto()
    UNCHANGED = auto()


ABSENT: Final = Word.ABSENT
"""As ``if_version``: only if the session does not exist."""

UNCHANGED: Final = Word.UNCHANGED
"""As ``ttl_seconds``: what it is."""

IfVersion = Version | str | Literal[Word.ABSENT] | None


def wish_of(if_version: IfVersion, operation_id: str | None, ttl_ms: int | None) -> Wish:
    """
    Return what a caller says of a change.

    Raises:
        InvalidInputError: the operation id or the version cannot be one.
    """
    if operation_id is not None and not _is_operation_id(operation_id):
        raise InvalidInputError("operation_id", f"must be 1 to {MAX_OPERATION_ID} characters")
    if if_version is None:
        return Wish(None, operation_id, ttl_ms)
    if if_version is ABSENT:
        return Wish(Condition(None), operation_id, ttl_ms)
    try:
        version = Version.parse(if_version) if isinstance(if_version, str) else if_version
    except ValueError:
        raise InvalidInputError("if_version", "is not a version of ours") from None
    return Wish(Condition(version), operation_id, ttl_ms)


def _is_operation_id(text: str) -> bool:
    try:
        text.encode()  # half of a surrogate pair is no character
    except UnicodeEncodeError:
        return False
    return 1 <= len(text) <= MAX_OPERATION_ID


def ttl_of(seconds: int | None) -> int | None:
    """
    Return a time to live in milliseconds.

    Raises:
        InvalidInputError: it is out of range.
    """
    if seconds is None:
        return None
    if not 1 <= seconds <= MAX_TTL_SECONDS:
        raise InvalidInputError("ttl_seconds", f"must be 1 to {MAX_TTL_SECONDS}")
    return seconds * 1000


def limit_of(number: int) -> int:
    """
    Return how many there may be in a page.

    Raises:
        InvalidInputError: it is out of range.
    """
    if not 1 <= number <= MAX_PAGE:
        raise InvalidInputError("limit", f"must be 1 to {MAX_PAGE}")
    return number


def offset_of(number: int) -> int:
    """
    Return how many sessions are passed over.

    Raises:
        InvalidInputError: it is out of range.
    """
    if not 0 <= number <= MAX_OFFSET:
        raise InvalidInputError("offset", f"must be 0 to {MAX_OFFSET}")
    return number


def count_of(field: str, number: int) -> int:
    """
    Return a number of messages.

    Raises:
        InvalidInputError: it is negative.
    """
    if number < 0:
        raise InvalidInputError(field, "must not be negative")
    return number
