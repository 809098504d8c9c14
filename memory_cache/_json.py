"""
JSON in and out, with nothing changed on the way.

orjson turns an integer outside 64 bits into a float, cuts a float to a double, keeps the
last of two equal keys and writes NaN as null, all without a word (3.13; ``json`` of the
standard library has other habits). Here each of these is an error.
"""

import json
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from memory_cache._errors import DamagedSessionError, InvalidInputError, InvalidJsonError

_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_INT64: Final = range(-(2**63), 2**64)
_LONGEST_INT64: Final = 20
_SPACE: Final = b" \t\n\r"
_CONTAINERS: Final = frozenset({dict, list})
_DEEPEST: Final = 250
"""orjson reads 1024 levels, and writes 254; no setting of ours allows so many."""


def canonical(value: object, field: str, *, max_depth: int) -> bytes:
    """
    Return ``value`` as canonical JSON: one line, UTF-8, no insignificant space, keys as given.

    Raises:
        InvalidInputError: JSON cannot hold it unchanged; ``field`` is the name to complain of.
    """
    try:
        text = orjson.dumps(value, option=_OPTIONS)
    except (TypeError, RecursionError) as error:
        raise InvalidInputError(field, f"cannot be kept as JSON ({error})") from None
    if b"null" in text and not _all_finite(value):
        raise InvalidInputError(field, "holds a number that is not finite")
    if _deeper(text, max_depth):
        raise InvalidInputError(field, f"is nested deeper than {max_depth}")
    return text


def parse_json(raw: bytes, *, max_depth: int = 64) -> object:
    """
    Parse JSON text that can be kept unchanged.

    Raises:
        InvalidJsonError: it is not JSON in UTF-8, is nested deeper than ``max_depth``, gives a
            key twice, or holds an integer outside 64 bits or a number that a double would lose.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        reason = f"is not JSON in UTF-8, at position {error.pos}"
        raise InvalidJsonError("body", reason) from None
    if _deeper(raw, max_depth, value):
        raise InvalidJsonError("body", f"is nested deeper than {max_depth}")
    # What comes out as it went in has lost nothing. The rest is looked at by a slower parser,
    # that shows every number and every key as they stand in the text.
    if not _same_but_for_space(orjson.dumps(value), raw):
        exact = json.loads(
            raw, parse_int=_parsed_int, parse_float=_parsed_float, object_pairs_hook=_parsed_object
        )
        if (found := _first_fault(exact, "body")) is not None:
            raise InvalidJsonError(*found)
    return value


def stored_json(text: bytes, what: str = "a stored message") -> Any:  # noqa: ANN401  # as orjson
    """
    Parse what the store holds.

    Raises:
        DamagedSessionError: it is not JSON; ``what`` names it.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DamagedSessionError(f"{what} cannot be read") from error


def stored_fields(text: bytes) -> dict[str, Any]:
    """
    Parse the fields of a session as the store holds them.

    Raises:
        DamagedSessionError: they are no object of JSON, or one that could not be written again.
    """
    what = "the fields"
    fields = stored_json(text, what)
    if not isinstance(fields, dict) or _deeper(text, _DEEPEST, fields):
        raise DamagedSessionError(f"{what} cannot be read")
    return fields


def _same_but_for_space(one: bytes, other: bytes) -> bool:
    # Space within texts goes too, and from both: what is left would still show a difference.
    return one == other or one.translate(None, _SPACE) == other.translate(None, _SPACE)


class _Fault:
    """Stands in a parsed value where something could not be kept."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _parsed_int(digits: str) -> object:
    if len(digits) > _LONGEST_INT64 or int(digits) not in _INT64:
        return _Fault("holds an integer outside 64 bits")
    return None


def _parsed_float(digits: str) -> object:
    number = float(digits)
    try:
        if math.isfinite(number) and Decimal(digits) == Decimal(repr(number)):
            return None
    except InvalidOperation:  # an exponent of a score of digits
        pass
    return _Fault("holds a number that a double would lose")


def _parsed_object(pairs: list[tuple[str, object]]) -> object:
    held = dict(pairs)
    return held if len(held) == len(pairs) else _Fault("gives a key twice")


def _first_fault(value: object, path: str) -> tuple[str, str] | None:
    if isinstance(value, _Fault):
        return path, value.reason
    if isinstance(value, dict):
        parts = ((f"{path}.{key}", inner) for key, inner in value.items())
    elif isinstance(value, list):
        parts = ((f"{path}[{at}]", inner) for at, inner in enumerate(value))
    else:
        return None
    return next((found for at, inner in parts if (found := _first_fault(inner, at))), None)


def _deeper(text: bytes, limit: int, parsed: object = None) -> bool:
    """Whether JSON text is nested deeper than ``limit``; as a rule a count of brackets says no."""
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    level: list[Any] = [parsed if parsed is not None else orjson.loads(text)]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        ]
        if not level:
            return False
    return True


def _all_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_all_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_all_finite, value))
    return True
