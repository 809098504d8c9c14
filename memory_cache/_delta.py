"""
The bus message: one change of one session, as the script that made it published it.

    line 1   kind, tag of the version before ("-" if there was none), milliseconds the session
             has left to live (-1: for ever), number of messages, whether fields follow
    line 2   header of the version after
    then     fields (one line), if they changed
    then     one line per message (`_sidecar`), then one body per message

Kinds: ``A`` an append, carries all it added; ``C`` a change that says only that it happened
(an edit, or too large to carry); ``D`` the session is gone.
"""

from dataclasses import dataclass, field
from typing import Final

import orjson

from memory_cache._sidecar import FIRST_TIME, LAST_TIME, line, meta_of
from memory_cache._types import Header, StoredMessage
from memory_cache._view import as_contract, contract_view

_EXACT: Final = 2**53
"""Scripts count in doubles: no number of theirs is beyond."""


@dataclass(frozen=True, slots=True)
class Delta:
    """
    A change heard on the bus.

    ``messages``: what an append added; None where the change does not carry itself.
    ``fields``: the fields after it, None if they did not change. ``header``: the version
    after; of a delete, one that is never current. ``left_ms``: -1 means for ever.
    ``views``: the contract's views of the messages, which ``decode`` makes.
    """

    kind: str
    previous_tag: str
    header: Header
    left_ms: int
    fields: bytes | None
    messages: tuple[StoredMessage, ...] | None
    views: tuple[bytes, ...] = field(default=(), compare=False)

    @property
    def carries(self) -> bool:
        """Whether the change can be applied from what the delta brings."""
        return self.messages is not None

    @property
    def brings(self) -> int:
        """Number of messages it brings."""
        return len(self.messages or ())


def decode(payload: bytes) -> Delta:
    """
    Read a bus message, all of it: what is returned can be applied without a further error.

    Raises:
        ValueError: it is not one of this format, or any part of it is not what it should be.
    """
    first, header_line, *rest = payload.split(b"\n")
    kind, previous_tag, left_ms, count_text, has_fields = first.decode("ascii").split(" ")
    count, left, fields = _number(count_text), _number(left_ms), None
    if has_fields == "1":
        fields, *rest = rest
        _object(fields)
    elif has_fields != "0":
        raise ValueError(has_fields)
    header = Header.parse(header_line)
    if kind in {"C", "D"} and not rest:
        return Delta(kind, previous_tag, header, left, fields, None)
    if kind != "A" or len(rest) != 2 * count:
        raise ValueError(kind)
    messages = tuple(
        StoredMessage(body, meta_of(text))
        for text, body in zip(rest[:count], rest[count:], strict=True)
    )
    return Delta(kind, previous_tag, header, left, fields, messages, tuple(map(_view, messages)))


def encode(delta: Delta) -> bytes:
    """Write a bus message; ``decode`` reads it back."""
    messages = delta.messages or ()
    has_fields = "0" if delta.fields is None else "1"
    parts = [
        f"{delta.kind} {delta.previous_tag} {delta.left_ms} {len(messages)} {has_fields}".encode(),
        delta.header.line().encode(),
        *(() if delta.fields is None else (delta.fields,)),
        *(line(message.meta).encode() for message in messages),
        *(message.body for message in messages),
    ]
    return b"\n".join(parts)


def _number(text: str) -> int:
    number = int(text)
    if not -1 <= number <= _EXACT:
        raise ValueError(text)
    return number


def _object(text: bytes) -> dict[str, object]:
    found = orjson.loads(text)
    if not isinstance(found, dict):
        raise ValueError(text)  # noqa: TRY004  # of what is read, not of a caller
    return found


def _view(message: StoredMessage) -> bytes:
    """Return the contract's view of a message that was heard; see ``_assemble.view``."""
    body, meta = message
    parsed = _object(body)
    if not (0 <= meta.tokens <= _EXACT and FIRST_TIME <= meta.created_at <= LAST_TIME):
        raise ValueError(meta)
    if meta.own_view:
        return body
    try:
        return contract_view(as_contract(parsed, meta.id, meta.created_at))
    except (TypeError, OverflowError) as error:  # nested too deep, or a time that is none
        raise ValueError(body) from error
