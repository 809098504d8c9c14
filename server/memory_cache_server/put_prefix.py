"""
The PUT that only grew, told by its bytes.

Clients of the contract send the whole transcript each turn, and what they sent last time stands
at its beginning, byte for byte. A record of the last PUT keeps the body's head (up to the ``[``
of its messages) and checkpoints: how many messages end at which length, and a hash of all up to
there. A body that matches one is parsed as head + a marker + the rest, with the parser used for
every body. It is taken for what it seems only if that gives an object whose messages begin with
just the marker: then, and only then, the marker stands where the known messages stood, and
whatever else the body says has been parsed. Anything odd (a second "messages", another scope, an
error) is for the whole parse to deal with, and to word.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import orjson
import xxhash

from memory_cache import InvalidJsonError, parse_json

SMALLEST_BODY: Final = 16 * 1024
"""Shorter bodies are parsed whole: that costs less than asking for the record."""

_LARGEST_HEAD: Final = 64 * 1024

_LONGEST_REST: Final = 128 * 1024
"""A longer one would hold up the event loop: its body is parsed whole, beside the worker."""

_PLACES: Final = 8
"""Places at which the messages are looked for: their beginning may stand elsewhere, too."""


class Checkpoint(NamedTuple):
    """The first ``messages`` of a body end at ``length``, and hash to ``digest`` up to there."""

    messages: int
    length: int
    digest: str


@dataclass(frozen=True, slots=True)
class PutRecord:
    """
    What is remembered of a PUT.

    Attributes:
        fingerprint: of release and settings; under another one nothing is taken as known.
        undated: whether a message had no created_at, which the answer has to mention.
        head: the body up to the bracket that opens its messages.
        checkpoints: the shorter first. One ends with the messages known before that PUT, for
            clients that render the last turn's messages anew; one with its last message.
    """

    fingerprint: str
    undated: bool
    head: bytes
    checkpoints: tuple[Checkpoint, ...]

    def dump(self) -> bytes:
        """Return the record as bytes; ``load`` reads it back."""
        facts = [self.fingerprint, self.undated, self.checkpoints]
        return orjson.dumps(facts, default=list) + b"\n" + self.head

    @classmethod
    def load(cls, data: bytes, fingerprint: str) -> Self | None:
        """Return the record, if it was written under this fingerprint."""
        if not data:
            return None
        facts, _, head = data.partition(b"\n")
        theirs, undated, checkpoints = orjson.loads(facts)
        if theirs != fingerprint:
            return None
        return cls(theirs, undated, head, tuple(Checkpoint(*each) for each in checkpoints))


@dataclass(frozen=True, slots=True)
class Grown:
    """
    A body that begins as the recorded one.

    ``value`` is the parsed rest: the body without its first ``known.messages`` messages.
    """

    value: dict[str, Any]
    known: Checkpoint
    record: PutRecord


def match(body: bytes, record: PutRecord, seed: int) -> Grown | None:
    """Return the body as a grown one, if its bytes begin as recorded and the rest parses."""
    for known in reversed(record.checkpoints):
        rest = len(body) - known.length
        same = 0 < rest <= _LONGEST_REST and body.startswith(record.head)
        if same and _hash(memoryview(body)[: known.length], seed) == known.digest:
            break
    else:
        return None
    marker = secrets.token_hex(16)
    short = b'%b["%b"%b' % (record.head, marker.encode(), body[known.length :])
    try:
        value = parse_json(short)
    except InvalidJsonError:
        return None
    if not isinstance(value, dict):
        return None
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages or messages[0] != marker:
        return None
    del messages[0]
    return Grown(value, known, record)


def record_of(
    body: bytes, messages: Sequence[Any], held: int, seed: int, fingerprint: str
) -> PutRecord | None:
    """
    Return the record of a body that was parsed whole; None: it is written in an unusual way.

    ``messages``: as parsed. ``held``: how many the session held before.
    """
    for separator, dumps in _STYLES:
        texts = list(map(dumps, messages))
        at = _place(body, texts, separator)
        if at is None:
            continue
        ends = _ends(at + 1, texts, separator)
        undated = any("created_at" not in message for message in messages)
        counts = sorted({count for count in (held, len(texts)) if 0 < count <= len(texts)})
        checkpoints = _checkpoints(body, {count: ends[count - 1] for count in counts}, seed)
        return PutRecord(fingerprint, undated, body[:at], checkpoints)
    return None


def record_after(body: bytes, grown: Grown, held: int, seed: int) -> PutRecord | None:
    """Return the record of a body that had grown; None: its new messages are written oddly."""
    known, rest = grown.known, grown.value["messages"]
    for separator, dumps in _STYLES:
        texts = list(map(dumps, rest))
        tail = b"".join(separator + text for text in texts)
        if not body.startswith(tail, known.length):
            continue
        ends = {known.messages: known.length}
        at = known.length
        for count, text in enumerate(texts, known.messages + 1):
            at += len(separator) + len(text)
            ends[count] = at
        total = known.messages + len(texts)
        wanted = {count: ends[count] for count in sorted({held, total}) if count in ends}
        undated = grown.record.undated or any("created_at" not in each for each in rest)
        checkpoints = _checkpoints(body, wanted, seed)
        return PutRecord(grown.record.fingerprint, undated, grown.record.head, checkpoints)
    return None


def _place(body: bytes, texts: Sequence[bytes], separator: bytes) -> int | None:
    """Return where the bracket stands that opens just these texts."""
    if not texts:
        return None
    joined = separator.join(texts) + b"]"
    at = -1
    for _ in range(_PLACES):
        at = body.find(b"[" + texts[0], at + 1, _LARGEST_HEAD)
        if at < 0:
            return None
        if body.startswith(joined, at + 1):
            return at
    return None


def _compact(value: object) -> bytes:
    return orjson.dumps(value)


def _spaced(value: object) -> bytes:
    return json.dumps(value).encode()


_STYLES: Final = ((b",", _compact), (b", ", _spaced))
"""How clients write: with no space at all, or as Python's json does."""


def _ends(at: int, texts: Sequence[bytes], separator: bytes) -> list[int]:
    ends = []
    for text in texts:
        at += len(text)
        ends.append(at)
        at += len(separator)
    return ends


def _checkpoints(body: bytes, ends: dict[int, int], seed: int) -> tuple[Checkpoint, ...]:
    view = memoryview(body)
    return tuple(
        Checkpoint(count, length, _hash(view[:length], seed)) for count, length in ends.items()
    )


def _hash(data: memoryview, seed: int) -> str:
    return xxhash.xxh3_128_hexdigest(data, seed)
