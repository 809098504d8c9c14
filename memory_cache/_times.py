"""
The one reader of times: of what a message says in ``created_at``, whichever way it comes in.

It takes what the server that this one replaces takes (pydantic's ``datetime``), and nothing else.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

_MOST_SECONDS: Final = 20_000_000_000
"""A number beyond counts milliseconds, not seconds."""

_ISO: Final = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"(?:[Tt _](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?"
    r"(?:[Zz]|[+\-\u2212](?:[01]\d|2[0-3]):?[0-5]\d)?)?",
    re.ASCII,
)
_WHOLE: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def read_time(given: object) -> datetime | None:
    """
    Return the time that a JSON value says, with its zone; None: it says none.

    A text is ISO 8601: a date and, if there is more, at least hours and minutes; without a zone it
    is UTC, and digits beyond microseconds are cut off. A number, or the text of one, is seconds
    since 1970, or milliseconds where it is beyond 20,000,000,000.
    """
    if isinstance(given, str):
        if (moment := read_iso(given)) is not None:
            return moment
        if _WHOLE.fullmatch(given):
            return _of_number(int(given))
        return _of_number(float(given)) if _DECIMAL.fullmatch(given) else None
    if isinstance(given, int | float) and not isinstance(given, bool):
        return _of_number(given)
    return None


def read_iso(text: str) -> datetime | None:
    """Return the time of an ISO 8601 text, as `read_time` does; None: it is none."""
    if not _ISO.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.replace("\u2212", "-").replace("z", "Z"))
    except ValueError:  # a day that its month has not
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def time_text(moment: datetime) -> str:
    """Return the contract's text of a time with a zone: six digits of fraction or none."""
    return orjson.dumps(moment, option=orjson.OPT_UTC_Z)[1:-1].decode()


def micros_of(moment: datetime) -> int:
    """Return the microseconds since the epoch of a time with a zone."""
    return (moment - EPOCH) // MICROSECOND


def _of_number(number: float) -> datetime | None:
    try:
        if abs(number) > _MOST_SECONDS:
            return EPOCH + timedelta(milliseconds=number)
        return EPOCH + timedelta(seconds=number)
    except (OverflowError, ValueError):  # not in the years 1 to 9999, or no number
        return None
