"""From what redis-py raises, and what a server says, to our errors: the one table."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import redis.exceptions as theirs

from memory_cache._errors import (
    Applied,
    DamagedSessionError,
    MemoryCacheError,
    StoreError,
    StoreTimeoutError,
)

_REFUSED: Final[dict[str, str]] = {
    "OOM": "the store is full",
    "READONLY": "the store is a read-only replica",
    "MISCONF": "the store cannot persist to its disk",
    "NOREPLICAS": "the store has too few replicas",
    "MASTERDOWN": "the store is cut off from its primary",
    "CLUSTERDOWN": "the store's cluster is down",
    "LOADING": "the store is loading its data",
    "BUSY": "the store is busy with a script",
    "NOAUTH": "the store wants a password",
    "WRONGPASS": "the store refused the password",
    "NOPERM": "the store does not permit this",
    "MOVED": "the session is on another node of the store",
    "ASK": "the session is moving to another node of the store",
    "TRYAGAIN": "the session is moving to another node of the store",
    "NOSCRIPT": "the store lost a script",
    "MC_STAGED": "the store was too slow to take a large transcript",
}
"""Refusals that come before anything is written: our scripts begin with ``#!lua``."""

_DAMAGED: Final = ("MC_DAMAGED", "WRONGTYPE")


def translated(error: Exception) -> MemoryCacheError:
    """Return our error for a reply or exception of redis-py."""
    text = str(error)
    if any(word in text for word in _DAMAGED):
        return DamagedSessionError("the stored session cannot be read")
    if isinstance(error, theirs.ResponseError | theirs.ConnectionError):
        code = _code(error, text)
        if code in _REFUSED:
            return StoreError(_REFUSED[code])
    if isinstance(error, theirs.AuthenticationError):
        return StoreError("the store refused the password")
    if isinstance(error, theirs.ResponseError):
        return StoreError("the store refused the command")
    return lost("no")


def lost(applied: Applied) -> StoreError:
    """Return the error for a connection that is not there, or went."""
    return StoreError("the store is unreachable", applied=applied)


def slow(applied: Applied) -> StoreTimeoutError:
    """Return the error for a store that does not answer in time."""
    return StoreTimeoutError("the store does not answer", applied=applied)


_CLASSES: Final[dict[type[Exception], str]] = {
    theirs.OutOfMemoryError: "OOM",
    theirs.ReadOnlyError: "READONLY",
    theirs.BusyLoadingError: "LOADING",
    theirs.NoPermissionError: "NOPERM",
    theirs.AuthenticationError: "WRONGPASS",
    theirs.NoScriptError: "NOSCRIPT",
}
"""redis-py cuts the code off the text of the errors that it has a class for."""


def _code(error: Exception, text: str) -> str:
    for kind, code in _CLASSES.items():
        if isinstance(error, kind):
            return code
    return text.split(" ", 1)[0].rstrip(":")


@contextmanager
def translating(applied: Applied | None = None) -> Iterator[None]:
    """Turn what redis-py raises into our errors; ``applied`` overrules what they say of it."""
    try:
        yield
    except StoreError as error:
        if applied is not None:
            raise type(error)(error.reason, applied=applied) from error
        raise
    except (theirs.RedisError, OSError) as error:
        raise translated(error) from error
