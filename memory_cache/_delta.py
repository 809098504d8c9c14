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

from dataclasses import dataclass

from memory_cache._sidecar import line, meta_of
from memory_cache._types import Header, StoredMessage


@dataclass(frozen=True, slots=True)
class Delta:
    """
    A change heard on the bus.

    ``messages``: what an append added; None where the change does not carry itself.
    ``fields``: the fields after it, None if they did not change. ``header``: the version
    after; of a delete, one that is never current. ``left_ms``: -1 means for ever.
    """

    kind: str
    previous_tag: str
    header: Header
    left_ms: int
    fields: bytes | None
    messages: tuple[StoredMessage, ...] | None

    @property
    def carries(self) -> bool:
        """Whether the change can be applied from what the delta brings."""
        return self.messages is not None


def decode(payload: bytes) -> Delta:
    """
    Read a bus message.

    Raises:
        ValueError: it is not one of this format.
    """
    first, header_line, *rest = payload.split(b"\n")
    kind, previous_tag, left_ms, count_text, has_fields = first.decode("ascii").split(" ")
    count, fields = int(count_text), None
    if has_fields == "1":
        fields, *rest = rest
    header = Header.parse(header_line)
    if kind in {"C", "D"} and not rest:
        return Delta(kind, previous_tag, header, int(left_ms), fields, None)
    if kind != "A" or len(rest) != 2 * count:
        raise ValueError(kind)
    messages = tuple(
        StoredMessage(body, meta_of(text))
        for text, body in zip(rest[:count], rest[count:], strict=True)
    )
    return Delta(kind, previous_tag, header, int(left_ms), fields, messages)


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
