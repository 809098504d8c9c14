"""From what redis-py raises, and what a server says, to our errors: the one table."""

import errno
import os
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
    "DENIED": f"{UNREACHABLE}: it takes connections from its own machine only (protected mode)",
    "max": f"{UNREACHABLE}: it takes no more connections (maxclients)",
    "DB": "the store has no database of this number",
    "SELECT": "the store is a cluster, which has database 0 only",
    "MOVED": "the session is on another node of the store",
    "ASK": "the session is moving to another node of the store",
    "TRYAGAIN": "the session is moving to another node of the store",
    "CROSSSLOT": "the store is a cluster, whose nodes share no transaction",
    "NOSCRIPT": "the store lost a script",
    "MC_STAGED": "the store was too slow to take a large transcript",
}
"""Refusals that come before anything is written: our scripts begin with ``#!lua``."""

_ACL_IN_SCRIPT: Final = ("ACL failure in script", "The user executing the script")
_DAMAGED: Final = ("MC_DAMAGED", "WRONGTYPE")

_OF_THE_USER: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})

ENDS: Final = (theirs.RedisError, OSError)
"""What ends a connection. Anything else that ends a task of ours is a crash."""


_REPLIES: Final = (theirs.ResponseError, theirs.AuthenticationError, theirs.BusyLoadingError)


class RefusedError(StoreError):
    """The store refuses its user: a password or a permission, which a person must put right."""


def translated(error: Exception) -> MemoryCacheError:
    """Return our error for a reply or exception of redis-py."""
    if isinstance(error, MemoryCacheError):
        return error
    # On a unix socket redis-py wraps what is refused, or fails, while it connects.
    if isinstance(error.__cause__, MemoryCacheError):
        return error.__cause__
    error = server_said(error) or error
    return _translated(error, str(error))


def server_said(error: BaseException) -> theirs.RedisError | None:
    """Return the error reply that an error is, or wraps; None: there was no reply."""
    wrapped = type(error) is theirs.ConnectionError and error.__cause__ is not None
    said = error.__cause__ if wrapped else error
    return said if isinstance(said, _REPLIES) else None


def _translated(error: Exception, text: str) -> MemoryCacheError:
    if any(word in text for word in _DAMAGED):
        return DamagedSessionError("the stored session cannot be read")
    if any(words in text for words in _ACL_IN_SCRIPT):
        # Whatever a change writes is asked for before its first effect (change.lua).
        return RefusedError(not_permitted(text))
    if isinstance(error, theirs.ResponseError | theirs.ConnectionError):
        code = _code(error, text)
        if code in _REFUSED:
            kind = RefusedError if code in _OF_THE_USER else StoreError
            return kind(not_permitted(text) if code == "NOPERM" else _REFUSED[code])
    if isinstance(error, theirs.ResponseError):
        found = re.match(r"unknown command [`']([A-Z]{1,20})\b", text)
        return StoreError(
            f"the store has no command {found[1]}" if found else "the store refused the command"
        )
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
_NO_WAY: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH})
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE"})


def _code(error: theirs.RedisError, text: str) -> str:
    """Return the word that an error begins with; redis-py cuts those off that it knows."""
    if error.status_code not in {None, "ERR"}:
        return str(error.status_code)
    if isinstance(error, theirs.AuthenticationError):
        return "WRONGPASS"
    return text.split(" ", 1)[0].rstrip(":")


def not_permitted(text: str) -> str:
    """Say which permission an ACL user lacks; the server's own words name commands, never keys."""
    if found := re.search(r"'([a-z]+(?:\|[a-z-]+)?)' command", text):
        return f"{_NOT_PERMITTED}: the command {found[1].replace('|', ' ').upper()}"
    if "can't run this command" in text:  # before Redis 7.2
        return f"{_NOT_PERMITTED}: a command in a script (this server does not say which)"
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
        # Some of OpenSSL's words go on with the name or the address that was asked for.
        reason = error.verify_message.split(", certificate is not valid for", 1)[0]
        return f"its certificate is not accepted ({reason})"
    if isinstance(error, ssl.SSLError):
        if error.reason in _NO_TLS:
            return "what answers there speaks no TLS (redis:// is without)"
        return f"TLS failed ({error.reason})"
    if isinstance(error, theirs.InvalidResponse):
        return "what answers there does not speak as Redis does (a TLS port needs rediss://)"
    if isinstance(error, OSError) and (several := re.findall(r"\[Errno (\d+)\]", str(error))):
        # asyncio has one error for all addresses of a name, and keeps no more than the texts.
        error = OSError(int(several[-1]), os.strerror(int(several[-1])))
    if isinstance(error, OSError) and error.errno in _NO_WAY:
        return "no network leads to its address"
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
