"""Names of sessions: which are allowed, and how they become one unambiguous text."""

import re
import sys
import unicodedata
from functools import lru_cache
from urllib.parse import quote, unquote

from memory_cache._errors import InvalidNameError
from memory_cache._types import SessionKey

MAX_NAME_BYTES = 512

_PLAIN = re.compile(r"[A-Za-z0-9._~-]*/[A-Za-z0-9._~-]*/[A-Za-z0-9._~-]*")
"""Three parts, joined, that `quote` leaves as they are (RFC 3986, 2.3)."""

_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Controls, halves of surrogate pairs, and the two separators that break lines."""


def session_key(
    session_id: str, namespace: str | None = None, user_id: str | None = None
) -> SessionKey:
    """
    Check the three parts of a session's name.

    Any printable text of up to 512 bytes of UTF-8 will do; nothing is folded or normalised.

    Raises:
        InvalidNameError: a part is too long, holds a control character, or the id is empty.
    """
    if session_id == "":
        raise InvalidNameError("session_id", "must not be empty")
    return SessionKey(
        checked_name("namespace", namespace or ""),
        checked_name("user_id", user_id or ""),
        checked_name("session_id", session_id),
    )


def checked_name(field: str, name: str) -> str:
    """
    Return ``name`` if it may be part of a session's name.

    Raises:
        InvalidNameError: it may not.
    """
    if not isinstance(name, str):
        raise InvalidNameError(field, "must be text")
    if name.isascii() and name.isprintable() and len(name) <= MAX_NAME_BYTES:
        return name
    if any(unicodedata.category(char) in _REFUSED for char in name):
        raise InvalidNameError(field, "must not hold control characters or lone surrogates")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidNameError(field, f"must not be over {MAX_NAME_BYTES} bytes of UTF-8")
    return name


def encode_part(name: str) -> str:
    """Percent-encode one part, so that ``/``, ``{`` and ``}`` never stand in it."""
    return quote(name, safe="")


# Few: a write asks three or four times for its own, and 256 of the longest names are 2 MB.
@lru_cache(maxsize=256)
def encode_key(key: SessionKey) -> str:
    """Return the text of a session's name; two names never share one."""
    # Most need no encoding, and to see that takes a tenth of the time.
    joined = "/".join(key)
    return joined if _PLAIN.fullmatch(joined) else "/".join(map(encode_part, key))


def decode_key(text: str) -> SessionKey:
    """
    Read what ``encode_key`` wrote.

    Raises:
        ValueError: it did not write this.
    """
    namespace, user_id, session_id = map(unquote, text.split("/"))
    return SessionKey(namespace, user_id, session_id)


def text_cost(text: str) -> int:
    """Return the bytes that a text takes in this process."""
    return sys.getsizeof(text)


def names_cost(key: SessionKey) -> int:
    """Return the bytes that the parts of a session's name take in this process."""
    return sum(map(text_cost, key))
