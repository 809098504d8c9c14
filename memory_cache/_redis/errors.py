"""From what redis-py raises, and what a server says, to our errors: the one table."""

import re
import socket
import ssl
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

UNREACHABLE: Final = "the store is unreachable"
_NOT_PERMITTED: Final = "the store does not permit its user this"

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
    "NOPERM": _NOT_PERMITTED,
    "max": f"{UNREACHABLE}: it takes no more connections (maxclients)",
    "MOVED": "the session is on another node of the store",
    "ASK": "the session is moving to another node of the store",
    "TRYAGAIN": "the session is moving to another node of the store",
    "NOSCRIPT": "the store lost a script",
    "MC_STAGED": "the store was too slow to take a large transcript",
}
"""Refusals that come before anything is written: our scripts begin with ``#!lua``."""

_ACL_IN_SCRIPT: Final = ("ACL failure in script", "The user executing the script")
_DAMAGED: Final = ("MC_DAMAGED", "WRONGTYPE")


ENDS: Final = (theirs.RedisError, OSError)
"""What ends a connection. Anything else that ends a task of ours is a crash."""


def translated(error: Exception) -> MemoryCacheError:
    """Return our error for a reply or exception of redis-py."""
    # On a unix socket redis-py wraps what is refused, or fails, while it connects.
    if isinstance(error.__cause__, MemoryCacheError):
        return error.__cause__
    if type(error) is theirs.ConnectionError and isinstance(error.__cause__, theirs.RedisError):
        error = error.__cause__
    return _translated(error, str(error))


def _translated(error: Exception, text: str) -> MemoryCacheError:
    if any(word in text for word in _DAMAGED):
        return DamagedSessionError("the stored session cannot be read")
    if any(words in text for words in _ACL_IN_SCRIPT):
        # PUBLISH is the first effect of a script; before another one, something has been done.
        applied: Applied = "no" if "channel" in text else "unknown"
        return StoreError(not_permitted(text), applied=applied)
    if isinstance(error, theirs.ResponseError | theirs.ConnectionError):
        code = _code(error, text)
        if code == "NOPERM":
            return StoreError(not_permitted(text))
        if code in _REFUSED:
            return StoreError(_REFUSED[code])
    if isinstance(error, theirs.ResponseError):
        return StoreError("the store refused the command")
    return StoreError(_unreachable(error))


def lost(applied: Applied) -> StoreError:
    """Return the error for a connection that is not there, or went."""
    return StoreError(UNREACHABLE, applied=applied)


def slow(applied: Applied) -> StoreTimeoutError:
    """Return the error for a store that does not answer in time."""
    return StoreTimeoutError("the store does not answer", applied=applied)


_CAUSES: Final[dict[type[BaseException], str]] = {
    ConnectionRefusedError: "nothing listens at its address",
    FileNotFoundError: "there is no socket at its path",
    PermissionError: "its socket may not be opened",
    socket.gaierror: "its host name has no address",
    TimeoutError: "it does not answer while connecting",
    theirs.TimeoutError: "it does not answer while connecting",
}
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE"})

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


def not_permitted(text: str) -> str:
    """Say which permission an ACL user lacks; the server's own words name commands, never keys."""
    if found := re.search(r"'([a-z]+(?:\|[a-z-]+)?)' command", text):
        return f"{_NOT_PERMITTED}: the command {found[1].replace('|', ' ').upper()}"
    if "channel" in text:
        return f"{_NOT_PERMITTED}: a channel"
    if "key" in text:
        return f"{_NOT_PERMITTED}: a key"
    return _NOT_PERMITTED


def _unreachable(error: BaseException) -> str:
    """Say why there is no connection, from what redis-py's error was raised for; no address."""
    cause: BaseException | None = error
    while cause is not None:
        if found := _cause(cause):
            return f"{UNREACHABLE}: {found}"
        cause = cause.__cause__ or cause.__context__
    return UNREACHABLE


def _cause(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        if error.reason in _NO_TLS:
            return "what answers there speaks no TLS (redis:// is without)"
        return f"TLS failed ({error.reason})"
    if isinstance(error, theirs.InvalidResponse):
        return "what answers there does not speak as Redis does (a TLS port needs rediss://)"
    return next((words for kind, words in _CAUSES.items() if isinstance(error, kind)), None)


@contextmanager
def talking() -> Iterator[None]:
    """Call whatever redis-py raises where it reads or writes the end of the connection."""
    try:
        yield
    except ENDS:
        raise
    except Exception as error:
        # Its own state as the connection goes, such as a transport that is None.
        raise theirs.ConnectionError(repr(error)) from error


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
