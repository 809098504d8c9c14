"""Messages that say what they are: an answer is judged without a table of what was sent."""

import hashlib
import json
from collections.abc import Mapping
from zlib import crc32

from memory_cache.testing.history import Sighting

_LETTERS = b"abcdefghijklmnopqrstuvwxyz      " * 8
"""One for each value of a byte."""

_SUM_DIGITS = 8
_UNREADABLE = Sighting("", "", intact=False)


def body_of(session: str, name: str, size: int) -> dict[str, object]:
    """
    Make a message that names the session it is written to, and itself.

    Its content is ``<session>|<name>|<length>|<filler>|<crc32>``: the two names as JSON texts
    without ``|``, the length that of the filler. It has ``size`` characters, or more where the
    names alone need them.
    """
    prefix = f"{_text(session)}|{_text(name)}|"
    room = max(0, size - len(prefix) - len(str(size)) - 2 - _SUM_DIGITS)
    noise = hashlib.shake_128(name.encode("utf-8", "surrogatepass")).digest(room)
    filler = noise.translate(_LETTERS).decode()
    rest = f"{prefix}{room}|{filler}|"
    return {"role": "user", "content": f"{rest}{_sum(rest)}"}


def sight(message: Mapping[str, object]) -> Sighting:
    """
    Read a message of ``body_of`` back; ``Sighting("", "", False)`` of what is none. Never raises.

    A message whose names can be read and whose rest is not as it was written is not intact.
    """
    content = message.get("content")
    if not isinstance(content, str):
        return _UNREADABLE
    try:
        session, name, length, rest = content.split("|", 3)
        named, told = _read(name), _read(session)
    except (ValueError, RecursionError):
        return _UNREADABLE
    filler, _, _ = rest.rpartition("|")
    whole = content[: len(content) - _SUM_DIGITS]
    intact = length == str(len(filler)) and content == f"{whole}{_sum(whole)}"
    return Sighting(named, told, intact=intact)


def _text(name: str) -> str:
    return json.dumps(name).replace("|", "\\u007c")


def _read(text: str) -> str:
    name = json.loads(text)
    if not isinstance(name, str):
        raise ValueError(text)  # noqa: TRY004  # one way out for all that is not ours
    return name


def _sum(text: str) -> str:
    return f"{crc32(text.encode('utf-8', 'surrogatepass')):08x}"
