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

Most clients write messages in the form in which the answer gives them back, or nearly so. Of these
the record says so, and the echo of a grown body is a piece of the body itself.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import orjson
import xxhash

from memory_cache import ContractMessage, InvalidJsonError, parse_json

SMALLEST_BODY: Final = 16 * 1024
"""Shorter bodies are parsed whole: that costs less than asking for the record."""

_LARGEST_HEAD: Final = 64 * 1024

_LONGEST_REST: Final = 128 * 1024
"""A longer one would hold up the event loop: its body is parsed whole, beside the worker."""

_LONGEST_MADE: Final = 1024 * 1024

_FORMS: Final = (
    (b"", b""),
    (b',"discrete_memory_extracted":', b',"persisted_at":null,"discrete_memory_extracted":'),
)
"""
What to replace in a message as clients write it to get it as the answer gives it.

Nothing, or what the Python client leaves out where it is null. No string holds the same bytes: a
quote in it is escaped.
"""

_AS_ANSWERED: Final = 0

_SEED_BITS: Final = 63
"""As many as JSON integers may have here."""

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
        form: in which of `_FORMS` all its messages were written; None: in another.
        seed: of the hashes, which nobody else knows.
        head: the body up to the bracket that opens its messages.
        checkpoints: the shorter first. One ends with the messages known before that PUT, for
            clients that render the last turn's messages anew; one with its last message.
    """

    fingerprint: str
    undated: bool
    form: int | None
    seed: int
    head: bytes
    checkpoints: tuple[Checkpoint, ...]

    def dump(self) -> bytes:
        """Return the record as bytes; ``load`` reads it back."""
        facts = [self.fingerprint, self.undated, self.form, self.seed, self.checkpoints]
        return orjson.dumps(facts, default=list) + b"\n" + self.head

    @classmethod
    def load(cls, data: bytes, fingerprint: str) -> Self | None:
        """Return the record, if it was written under this fingerprint."""
        if not data:
            return None
        facts, _, head = data.partition(b"\n")
        try:
            theirs, undated, form, seed, checkpoints = orjson.loads(facts)
        except ValueError:
            return None  # of a release that wrote others
        if theirs != fingerprint:
            return None
        known = tuple(Checkpoint(*each) for each in checkpoints)
        return cls(theirs, undated, form, seed, head, known)

    def echo(self, body: bytes) -> bytes | memoryview | None:
        """Return the messages of the body it is of, as the answer gives them; None: read them."""
        if self.form is None:
            return None
        messages = memoryview(body)[len(self.head) + 1 : self.checkpoints[-1].length]
        if self.form == _AS_ANSWERED:
            return messages
        # A long one would hold up the event loop.
        return _answered(bytes(messages), self.form) if len(messages) <= _LONGEST_MADE else None


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
        ends = _ends(at + 1, texts, separator)
        undated = any("created_at" not in message for message in messages)
        counts = sorted({count for count in (held, len(texts)) if 0 < count <= len(texts)})
        seed = secrets.randbits(_SEED_BITS)
        hashed = xxhash.xxh3_128(seed=seed)
        checkpoints = _checkpoints(body, {count: ends[count - 1] for count in counts}, 0, hashed)
        form = _form(separator, texts, taken, range(len(_FORMS)))
        return PutRecord(fingerprint, undated, form, seed, body[:at], checkpoints)
    return None


def record_after(
    body: bytes, grown: Grown, taken: Sequence[ContractMessage], held: int
) -> PutRecord | None:
    """
    Return the record of a body that had grown; None: its new messages are written oddly.

    ``taken``: what was made of the new messages. ``held``: as for `record_of`.
    """
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
        was = grown.record
        undated = was.undated or any("created_at" not in each for each in rest)
        form = None if was.form is None else _form(separator, texts, taken, [was.form])
        checkpoints = _checkpoints(body, wanted, known.length, grown.hashed)
        return PutRecord(was.fingerprint, undated, form, was.seed, was.head, checkpoints)
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


def _checkpoints(
    body: bytes, ends: dict[int, int], begin: int, hashed: xxhash.xxh3_128
) -> tuple[Checkpoint, ...]:
    """Return them, the shorter first; ``hashed``: the state of the hash up to ``begin``."""
    view, found = memoryview(body), []
    for count, length in sorted(ends.items()):
        hashed.update(view[begin:length])
        found.append(Checkpoint(count, length, hashed.hexdigest()))
        begin = length
    return tuple(found)


def _form(
    separator: bytes,
    texts: Sequence[bytes],
    taken: Sequence[ContractMessage],
    forms: Iterable[int],
) -> int | None:
    """
    Return the first of some forms in which all messages are written.

    A PUT leaves a message that brings its id and time as it is here answered, whether it is
    written or was held and is equal.
    """
    if separator != b"," or any(each.id is None or each.created_at is None for each in taken):
        return None
    for form in forms:
        pairs = zip(texts, taken, strict=True)
        if all(_answered(text, form) == each.view_json for text, each in pairs):
            return form
    return None


def _answered(text: bytes, form: int) -> bytes:
    what, by = _FORMS[form]
    return text.replace(what, by) if what else text
