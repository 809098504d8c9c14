"""
What is remembered of a PUT, so that the next one may be told by its bytes.

Most clients write messages in the form in which the answer gives them back, or nearly so. Of these
the record says so, and the echo of a body is a piece of the body itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import orjson
import xxhash

from memory_cache import ContractMessage

_FORMAT: Final = 3
"""Of records. Those of another are as none."""

_SUM_BYTES: Final = 16
"""What a record begins with: the hash of the rest, in hex."""

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


class Checkpoint(NamedTuple):
    """
    The first ``messages`` of a body end at ``length``, and hash to ``digest`` up to there.

    ``undated``: whether one of them has no created_at, which the answer has to mention.
    ``forms``: the numbers of those of `_FORMS` in which all of them are written.
    """

    messages: int
    length: int
    digest: str
    undated: bool
    forms: tuple[int, ...]


NOTHING: Final = Checkpoint(0, 0, "", undated=False, forms=tuple(range(len(_FORMS))))
"""Before the first byte."""


@dataclass(frozen=True, slots=True)
class PutRecord:
    """
    What is remembered of a PUT.

    Attributes:
        fingerprint: of release and settings; under another one nothing is taken as known.
        seed: of the hashes, which nobody else knows.
        head: the body up to the bracket that opens its messages.
        checkpoints: the shorter first. One ends with the messages known before that PUT, for
            clients that render the last turn's messages anew; one with its last message.
    """

    fingerprint: str
    seed: int
    head: bytes
    checkpoints: tuple[Checkpoint, ...]

    def dump(self) -> bytes:
        """Return the record as bytes; ``load`` reads it back."""
        facts = [_FORMAT, self.fingerprint, self.seed, self.checkpoints]
        rest = orjson.dumps(facts, default=list) + b"\n" + self.head
        return _sum(rest) + rest

    @classmethod
    def load(cls, data: bytes, fingerprint: str) -> Self | None:
        """
        Return the record, if it was written in this format and under this fingerprint.

        One that is not as it was written is none: by a wrong number of messages known, others would
        be lost.
        """
        rest = data[_SUM_BYTES:]
        if data[:_SUM_BYTES] != _sum(rest):
            return None
        facts, _, head = rest.partition(b"\n")
        try:
            format_, theirs, *more = orjson.loads(facts)
            if (format_, theirs) != (_FORMAT, fingerprint):
                return None
            seed, checkpoints = more
            known = tuple(map(_checkpoint, checkpoints))
        except (ValueError, TypeError):
            return None
        return cls(theirs, seed, head, known) if known and type(seed) is int else None

    def echo(self, body: bytes) -> bytes | memoryview | None:
        """Return the messages of the body it is of, as the answer gives them; None: read them."""
        last = self.checkpoints[-1]
        if not last.forms:
            return None
        messages = memoryview(body)[len(self.head) + 1 : last.length]
        if _AS_ANSWERED in last.forms:
            return messages
        # A long one would hold up the event loop.
        return _answered(bytes(messages), last.forms[0]) if len(messages) <= _LONGEST_MADE else None


def forms_of(
    texts: Sequence[bytes], taken: Sequence[ContractMessage], among: Iterable[int]
) -> tuple[int, ...]:
    """
    Return in which of some forms all of these messages are written.

    ``taken``: what was made of the texts. A PUT leaves a message that brings its id and time as it
    is here answered, whether it is written or was held and is equal.
    """
    if any(each.id is None or each.created_at is None for each in taken):
        return ()
    return tuple(
        form
        for form in among
        if all(
            _answered(text, form) == each.view_json for text, each in zip(texts, taken, strict=True)
        )
    )


def _checkpoint(facts: Sequence[Any]) -> Checkpoint:
    """
    Read a checkpoint.

    Raises:
        ValueError, TypeError: it is none.
    """
    messages, length, digest, undated, forms = facts
    kinds = [type(fact) for fact in (messages, length, digest, undated)]
    if kinds != [int, int, str, bool] or not set(forms) <= set(NOTHING.forms):
        raise ValueError(facts)
    return Checkpoint(messages, length, digest, undated, tuple(forms))


def _sum(data: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(data).encode()


def _answered(text: bytes, form: int) -> bytes:
    what, by = _FORMS[form]
    return text.replace(what, by) if what else text
