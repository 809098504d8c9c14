"""
What is kept of messages beside their bytes, as text.

A line says it of one message by itself; commands and deltas carry these:

    v<tokens> <created_at>         the message is its own contract view
    u<tokens> <created_at> <rest>  it is not; the id made for it is a ULID of its time, and this
    s<tokens> <created_at> [<id>]  it is not; the id made for it, if it has none of its own

The sidecar of a block says it of all its messages, in fewer bytes: a first line, then one each.

    <max_before> [<size> <last>]   the largest created_at of all messages before the block; while
                                   it fills, the bytes of its messages and the time of the last
    [u|s]<tokens> <since> [<id>]   in hex: tokens, and microseconds since the message before (of
                                   the first, since max_before); ``=<created_at>`` where the
                                   script, which counts in doubles, could not subtract exactly

Redis would hold some 15 bytes for each message otherwise, and 35 if it has an id that we made.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import accumulate, repeat
from typing import Final, NamedTuple

from memory_cache._types import LATEST, MOST, Meta
from memory_cache._view import micros, ulid

_TIME_CHARACTERS: Final = 10
"""Of the 26 characters of a ULID those that say its time; the others are random."""

_LATEST_MS: Final = 2**48 - 1

_U: Final = ord("u")
_S: Final = ord("s")
_EQUALS: Final = ord("=")
"""Looked for as numbers: as texts of one byte each costs Python an exception inside."""

_DAY: Final = 24 * 3600 * 1_000_000
FIRST_TIME: Final = micros("0001-01-01T00:00:00Z") - _DAY
LAST_TIME: Final = micros("9999-12-31T23:59:59.999999Z") + _DAY
"""A time is of one of the years that ISO 8601 has, in some zone."""


_made: Final = partial(tuple.__new__, Meta)
"""Makes one of its parts in half the time that its own constructor takes."""


class Beside(NamedTuple):
    """
    What a sidecar says of a block.

    ``max_before``: the largest created_at of all messages before it, in microseconds. ``size``:
    the bytes of its messages; None: it is full, and does not say.
    """

    max_before: int
    size: int | None
    metas: list[Meta]


def line(meta: Meta) -> str:
    """Return what is known of one message as text; ``meta_of`` reads it back."""
    kind, rest = _kind(meta)
    return f"{kind or 'v'}{meta.tokens} {meta.created_at}{rest}"


def meta_of(text: bytes) -> Meta:
    """
    Read what ``line`` wrote.

    Raises:
        ValueError: it is no such line.
    """
    kind, words = text[:1].decode(), text[1:].decode().split(" ", 2)
    if kind not in {"v", "u", "s"}:
        raise ValueError(text)
    return _meta(kind, int(words[0]), int(words[1] if len(words) > 1 else ""), words[2:])


def sidecar(metas: Sequence[Meta], max_before: int, size: int | None) -> bytes:
    """Return the sidecar of a block; ``size``: the bytes of its messages, None if it is full."""
    lines, time = [str(max_before)], max_before
    for meta in metas:
        kind, rest = _kind(meta)
        lines.append(f"{kind}{meta.tokens:x} {meta.created_at - time:x}{rest}")
        time = meta.created_at
    if size is not None:
        lines[0] += f" {size} {time}"
    return "\n".join(lines).encode()


def max_before(text: bytes) -> int:
    """
    Return the largest created_at of all messages before a block, in microseconds.

    Raises:
        ValueError: the sidecar does not begin with a time.
    """
    word = text.split(b"\n", 1)[0].split(b" ", 1)[0]
    time = int(word)
    if not (word.isdigit() and time < LATEST):
        raise ValueError(word)
    return time


def beside(text: bytes) -> Beside:
    """
    Read a sidecar.

    Raises:
        ValueError: it is none, or contradicts itself.
    """
    head, *lines = text.decode().split("\n")
    first, *about = head.split(" ")
    before = int(first)
    if not (first.isdigit() and before < LATEST):
        raise ValueError(head)
    plain = all_own_views(text) and _EQUALS not in text and lines
    metas = (_plain if plain else _any)(lines, before)
    if not about:
        return Beside(before, None, metas)
    size, last = map(int, about)
    if last != (metas[-1].created_at if metas else before):
        raise ValueError(head)
    return Beside(before, size, metas)


def _plain(lines: Sequence[str], time: int) -> list[Meta]:
    """Read lines that all have two numbers, which is the rule, in half the time."""
    words = [one.split(" ") for one in lines]
    tokens = [int(word, 16) for word, _ in words]
    times = list(accumulate([int(since, 16) for _, since in words], initial=time))[1:]
    if min(times) < FIRST_TIME or max(times) > LAST_TIME:
        raise ValueError(times)
    if min(tokens) < 0 or max(tokens) >= MOST:
        raise ValueError(tokens)
    return list(map(_made, zip(repeat(True), tokens, times, repeat(""))))  # noqa: FBT003  # own_view


def _any(lines: Sequence[str], time: int) -> list[Meta]:
    """Read lines of any kind."""
    found: list[Meta] = []
    for one in lines:
        kind = one[:1]
        if kind in {"u", "s"}:
            words = one[1:].split(" ", 2)
        else:
            kind, words = "v", one.split(" ", 2)
        since = words[1] if len(words) > 1 else ""
        time = int(since[1:]) if since[:1] == "=" else time + int(since, 16)
        tokens = int(words[0], 16)
        if not (FIRST_TIME <= time <= LAST_TIME and 0 <= tokens < MOST):
            raise ValueError(one)
        found.append(_meta(kind, tokens, time, words[2:]))
    return found


def all_own_views(text: bytes) -> bool:
    """Whether no line of a sidecar says that its message is not its own contract view."""
    # What else stands there is digits, in hex.
    return _U not in text and _S not in text


def metas_of(text: bytes) -> list[Meta]:
    """
    Read the lines of a sidecar.

    Raises:
        ValueError: it is none.
    """
    return beside(text).metas


def _kind(meta: Meta) -> tuple[str, str]:
    """Return the letter that a line begins with, and what follows its numbers."""
    if meta.own_view:
        return "", ""
    if not meta.id:
        return "s", ""
    time, rest = meta.id[:_TIME_CHARACTERS], meta.id[_TIME_CHARACTERS:]
    if time == _ulid_time(meta.created_at // 1000):
        return "u", f" {rest}"
    return "s", f" {meta.id}"


def _meta(kind: str, tokens: int, created_at: int, rest: Sequence[str]) -> Meta:
    if kind == "v":
        if rest:
            raise ValueError(rest)
        return _made((True, tokens, created_at, ""))
    made_id = rest[0] if rest else ""
    if kind == "u":
        made_id = _ulid_time(created_at // 1000) + made_id
    return _made((False, tokens, created_at, made_id))


@lru_cache(maxsize=256)
def _ulid_time(ms: int) -> str:
    return ulid(ms, 0)[:_TIME_CHARACTERS] if 0 <= ms <= _LATEST_MS else ""
