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
from typing import Any, Final

import orjson
import xxhash

from memory_cache import ContractMessage, InvalidJsonError, parse_json
from memory_cache_server.put_record import NOTHING, Checkpoint, PutRecord, forms_of

SMALLEST_BODY: Final = 16 * 1024
"""Shorter bodies are parsed whole: that costs less than asking for the record."""

_LARGEST_HEAD: Final = 64 * 1024

_LONGEST_REST: Final = 128 * 1024
"""A longer one would hold up the event loop: its body is parsed whole, beside the worker."""

_SEED_BITS: Final = 63
"""As many as JSON integers may have here."""

_PLACES: Final = 8
"""Places at which the messages are looked for: their beginning may stand elsewhere, too."""


@dataclass(frozen=True, slots=True)
class Grown:
    """
    A body that begins as the recorded one.

    ``value`` is the parsed rest: the body without its first ``known.messages`` messages;
    ``hashed`` the state of the hash up to them.
    """

    value: dict[str, Any]
    known: Checkpoint
    record: PutRecord
    hashed: xxhash.xxh3_128


def match(body: bytes, record: PutRecord) -> Grown | None:
    """Return the body as a grown one, if its bytes begin as recorded and the rest parses."""
    for known in reversed(record.checkpoints):
        rest = len(body) - known.length
        if not 0 < rest <= _LONGEST_REST or not body.startswith(record.head):
            continue
        hashed = xxhash.xxh3_128(memoryview(body)[: known.length], record.seed)
        if hashed.hexdigest() == known.digest:
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
    return Grown(value, known, record, hashed)


def record_of(
    body: bytes,
    messages: Sequence[Any],
    taken: Sequence[ContractMessage],
    held: int,
    fingerprint: str,
) -> PutRecord | None:
    """
    Return the record of a body that was parsed whole; None: it is written in an unusual way.

    ``messages``: as parsed; ``taken``: what was made of them. ``held``: how many the session held
    before.
    """
    for separator, dumps in _STYLES:
        texts = list(map(dumps, messages))
        at = _place(body, texts, separator)
        if at is None:
            continue
        seed = secrets.randbits(_SEED_BITS)
        hashed = xxhash.xxh3_128(seed=seed)
        ends = _ends(at + 1 - len(separator), texts, separator)
        new = _New(texts, messages, taken, ends)
        return PutRecord(fingerprint, seed, body[:at], new.checkpoints(body, NOTHING, held, hashed))
    return None


def record_after(
    body: bytes, grown: Grown, taken: Sequence[ContractMessage], held: int
) -> PutRecord | None:
    """
    Return the record of a body that had grown; None: its new messages are written oddly.

    ``taken``: what was made of the new messages. ``held``: as for `record_of`.
    """
    known, rest, was = grown.known, grown.value["messages"], grown.record
    for separator, dumps in _STYLES:
        texts = list(map(dumps, rest))
        tail = b"".join(separator + text for text in texts)
        if body.startswith(tail, known.length):
            new = _New(texts, rest, taken, _ends(known.length, texts, separator))
            checkpoints = new.checkpoints(body, known, held, grown.hashed)
            return PutRecord(was.fingerprint, was.seed, was.head, checkpoints)
    return None


@dataclass(frozen=True, slots=True)
class _New:
    """Messages of a body that follow a checkpoint: as written, parsed, taken; where each ends."""

    texts: Sequence[bytes]
    messages: Sequence[Any]
    taken: Sequence[ContractMessage]
    ends: Sequence[int]

    def checkpoints(
        self, body: bytes, known: Checkpoint, held: int, hashed: xxhash.xxh3_128
    ) -> tuple[Checkpoint, ...]:
        """Return those to keep, the shorter first; ``hashed``: the hash's state at ``known``."""
        view, found, begin = memoryview(body), list[Checkpoint](), known.messages
        total = begin + len(self.texts)
        for count in sorted({held, total}):
            if not max(begin, 1) <= count <= total:
                continue
            some = slice(known.messages - begin, count - begin)
            length = self.ends[count - begin - 1] if count > begin else known.length
            hashed.update(view[known.length : length])
            known = Checkpoint(
                count,
                length,
                hashed.hexdigest(),
                known.undated or any("created_at" not in each for each in self.messages[some]),
                forms_of(self.texts[some], self.taken[some], known.forms),
            )
            found.append(known)
        return tuple(found)


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
    """Return where each ends, if a separator stands at ``at``, and between each and the next."""
    ends = []
    for text in texts:
        at += len(separator) + len(text)
        ends.append(at)
    return ends
