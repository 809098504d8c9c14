"""
How an adapter stores what JSON does not hold unchanged, and reads it back as it was.

Most messages are stored as they are. In others some values have no form that every reader of JSON
takes as it is meant: integers beyond 64 bits, numbers that are not finite, halves of surrogate
pairs, objects with keys that are not text, and what is nested deeper than a message may be. Each
of these is replaced by its JSON text, and a key at the top of the message says where that was done:

    {"result": {"n": "1000000000000000000000"}, "memory-cache:carried": {"result": {"n": 1}}}

In such a text a half of a surrogate pair is written as ``%`` and its four hexadecimal digits, and
``%`` itself as ``%0025``. A message that has this key itself, or keys at its top that are not text,
is one such text under this key. All else is read as it stands, whatever it looks like.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from memory_cache import InvalidInputError, Page
from memory_cache._config import LARGE_DEPTH
from memory_cache._json import canonical
from memory_cache.adapters._reading import reading

CARRIED: Final = "memory-cache:carried"
"""Key of a message, or of fields, that says where texts stand for values."""

_DEEPEST: Final = 500
"""Half of what Python's own JSON reads before it gives up, for the stack may be in use already."""

_HERE: Final = 1
_HALF: Final = re.compile("[\ud800-\udfff]")
_TO_ESCAPE: Final = re.compile("[%\ud800-\udfff]")
_ESCAPED: Final = re.compile("%([0-9a-f]{4})")


def packed(message: Mapping[str, Any], field: str = "message") -> dict[str, Any]:
    """
    Return a message as it can be stored; ``unpacked`` reads it back.

    ``field``: what an error calls it.

    Raises:
        InvalidInputError: a part of it is no JSON value, or it is nested deeper than 500.
    """
    if not isinstance(message, Mapping):
        raise InvalidInputError(field, "must be an object")
    if CARRIED in message or not all(map(_is_text, message)):
        return {CARRIED: text_of(message, field)}
    try:
        canonical(message, field, max_depth=LARGE_DEPTH)
    except InvalidInputError:
        # What says where texts stand is nested as the message is, one level further in.
        plain, where = _part(message, field, LARGE_DEPTH - 1)
        return {**plain, CARRIED: where} if where else plain
    return dict(message)


def text_of(value: object, field: str = "message") -> str:
    """
    Return the text that a value is carried as; ``value_of`` reads it back.

    Raises:
        InvalidInputError: as ``packed``.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(field, f"cannot be kept as JSON ({error})") from None
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _parts(outer)]
        if not level:
            return _TO_ESCAPE.sub(lambda found: f"%{ord(found[0]):04x}", text)
    raise InvalidInputError(field, f"is nested deeper than {_DEEPEST}")


def value_of(text: str) -> Any:  # noqa: ANN401  # any JSON value
    """
    Return the value that a text was made of.

    Raises:
        ValueError: it was not made by ``text_of``.
    """
    return json.loads(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), text))


def as_in_python(dumped: Any, python: Any) -> Any:  # noqa: ANN401  # any JSON value
    """
    Return what Pydantic dumped as JSON values, without what it loses on the way and does not say.

    Numbers that are not finite become null there, and halves of surrogate pairs in keys other
    characters. ``python``: the same, dumped as Python's values.
    """
    if dumped is None and isinstance(python, float) and not math.isfinite(python):
        return python
    if isinstance(dumped, dict) and isinstance(python, dict) and len(dumped) == len(python):
        pairs = zip(dumped.items(), python.items(), strict=True)
        return {
            name if isinstance(name, str) else key: as_in_python(value, other)
            for (key, value), (name, other) in pairs
        }
    if (
        isinstance(dumped, list)
        and isinstance(python, (list, tuple))
        and len(dumped) == len(python)
    ):
        return [as_in_python(value, other) for value, other in zip(dumped, python, strict=True)]
    return dumped


def unpacked(message: dict[str, Any], value_of: Callable[[str], Any] = value_of) -> dict[str, Any]:
    """
    Return a message as it was before it was ``packed``.

    ``value_of``: what stands for a text that is carried; else it is the value.

    Raises:
        DamagedSessionError: it says that texts stand for values, and they do not.
    """
    if CARRIED not in message:
        return message
    where = message[CARRIED]
    with reading("values that stand there as text"):
        found = value_of(where) if isinstance(where, str) else _restored(message, where, value_of)
        if not isinstance(found, dict):
            raise TypeError
    if not isinstance(where, str):
        del found[CARRIED]
    return found


def messages_of(page: Page) -> list[dict[str, Any]]:
    """Return the messages of a page as they were before they were packed."""
    return [unpacked(message) for message in page.messages]


def _part(value: Any, field: str, depth: int) -> tuple[Any, Any]:  # noqa: ANN401  # any value
    """Return a value as it can be stored, and where in it texts stand; falsy: nowhere."""
    if depth and isinstance(value, dict) and all(map(_is_text, value)):
        parts = {key: _part(inner, field, depth - 1) for key, inner in value.items()}
        where = {key: found for key, (_, found) in parts.items() if found}
        return {key: inner for key, (inner, _) in parts.items()}, where
    if depth and isinstance(value, (list, tuple)):
        several = [_part(inner, field, depth - 1) for inner in value]
        where = {str(at): found for at, (_, found) in enumerate(several) if found}
        return [inner for inner, _ in several], where
    if not isinstance(value, (dict, list, tuple)):
        try:
            canonical(value, field, max_depth=1)
        except InvalidInputError:
            return text_of(value, field), _HERE
        return value, None
    return text_of(value, field), _HERE


def _restored(value: Any, where: Any, value_of: Callable[[str], Any]) -> Any:  # noqa: ANN401
    if type(where) is int and where == _HERE:
        return value_of(value)
    if not where:
        raise ValueError
    for name, inner in where.items():
        at = name
        if isinstance(value, list):
            at = int(name)
            if at < 0 or str(at) != name:
                raise LookupError
        value[at] = _restored(value[at], inner, value_of)
    return value


def _is_text(key: object) -> bool:
    return isinstance(key, str) and (key.isascii() or _HALF.search(key) is None)


def _parts(value: object) -> list[object]:
    """Return the arrays and objects in an array or object."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return []
    return [inner for inner in value if isinstance(inner, (dict, list, tuple))]
