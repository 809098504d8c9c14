"""
Blocks: which messages share one, and what is kept for it.

Block n covers seqs [64n, 64n+64). Its bodies are canonical messages joined by newlines
(canonical JSON holds no raw newline). Its sidecar says what is known beside them (`_sidecar`).
A block whose first messages were dropped (``first`` moved into it) holds only what is left.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from memory_cache._errors import DamagedSessionError
from memory_cache._sidecar import beside, max_before, sidecar
from memory_cache._types import BLOCK, StoredMessage

_stored: Final = partial(tuple.__new__, StoredMessage)
"""Makes one of its parts in half the time that its own constructor takes."""

_DIGEST_BYTES: Final = 40


class Laid(NamedTuple):
    """
    The fields, with their values, that hold some messages.

    ``size``: bytes of the messages. ``max_created``: the largest created_at up to their end.
    """

    pairs: list[tuple[str, bytes]]
    size: int
    token_count: int
    max_created: int


class Block(NamedTuple):
    """
    A run of consecutive messages of one block, as the store keeps them.

    ``digest``: of a sealed block whose messages all are their own contract view, else empty.
    """

    start: int
    bodies: bytes
    sidecar: bytes
    digest: bytes = b""

    @property
    def max_before(self) -> int:
        """
        The largest created_at of all messages before this block, in microseconds.

        Raises:
            DamagedSessionError: the sidecar does not begin with a number.
        """
        try:
            return max_before(self.sidecar)
        except ValueError as error:
            raise DamagedSessionError("a block's sidecar cannot be read") from error

    def messages(self) -> list[StoredMessage]:
        """
        Return the messages of the block, parsed no further than into lines.

        Raises:
            DamagedSessionError: bodies and sidecar do not match, or a line is no object.
        """
        bodies = self.bodies.split(b"\n")
        try:
            _, size, metas = beside(self.sidecar)
            messages = list(map(_stored, zip(bodies, metas, strict=False)))
        except ValueError as error:
            raise DamagedSessionError("a block's sidecar cannot be read") from error
        count = len(metas)
        if len(bodies) != count or (size is not None and size != len(self.bodies) - count + 1):
            raise DamagedSessionError("a block is not what its sidecar says")
        begins, ends = [body[:1] for body in bodies], [body[-1:] for body in bodies]
        if begins.count(b"{") != count or ends.count(b"}") != count:
            raise DamagedSessionError("a stored message cannot be read")
        return messages


def is_text(value: bytes) -> bool:
    """
    Whether a stored value may be an object of JSON, or several lines of them.

    As far as can be told for little: it is UTF-8, and begins and ends as they do.
    """
    if not is_object(value):
        return False
    if value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_object(text: bytes) -> bool:
    """Whether a value begins and ends as an object of JSON does, or several lines of them."""
    return text[:1] == b"{" and text[-1:] == b"}"


def block_of(seq: int) -> int:
    """Return the number of the block that covers ``seq``."""
    return seq // BLOCK


def block_start(block: int, first: int) -> int:
    """Return the first seq that block holds in a transcript that begins at ``first``."""
    return max(block * BLOCK, first)


def digest(bodies: bytes) -> bytes:
    """Return what tells two blocks apart; the store computes the same when it seals one."""
    return hashlib.sha1(bodies, usedforsecurity=False).hexdigest().encode()


def is_digest(value: bytes) -> bool:
    """Whether this may be what `digest` returns."""
    return len(value) == _DIGEST_BYTES and value.isalnum()


def runs(start: int, messages: Sequence[StoredMessage]) -> Iterator[tuple[int, int, int]]:
    """Cut messages at block bounds: yield (block, from, to) as indexes into ``messages``."""
    at = 0
    while at < len(messages):
        block = block_of(start + at)
        to = min((block + 1) * BLOCK - start, len(messages))
        yield block, at, to
        at = to


def layouts(start: int, messages: Sequence[StoredMessage], newest: int) -> Iterator[Laid]:
    """
    Yield the fields that hold these messages, block by block.

    ``start`` must be the first seq its block holds: a block is always written whole.
    ``newest``: the largest created_at of all messages before it.
    """
    for block, at, to in runs(start, messages):
        run = messages[at:to]
        bodies = b"\n".join(message.body for message in run)
        full = start + to == (block + 1) * BLOCK
        metas = [message.meta for message in run]
        pairs = [(f"t{block}", sidecar(metas, newest, None if full else size_of(run)))]
        if full:
            pairs.append((f"b{block}", bodies))
            if all(meta.own_view for meta in metas):
                pairs.append((f"d{block}", digest(bodies)))
        else:
            pairs.extend((f"m{start + at + i}", message.body) for i, message in enumerate(run))
        newest = max(newest, *(meta.created_at for meta in metas))
        yield Laid(pairs, size_of(run), tokens_of(run), newest)


def joined(parts: Sequence[Laid], newest: int) -> Laid:
    """Return what `layouts` yielded, as one."""
    return Laid(
        [pair for part in parts for pair in part.pairs],
        sum(part.size for part in parts),
        sum(part.token_count for part in parts),
        parts[-1].max_created if parts else newest,
    )


def layout(
    start: int, messages: Sequence[StoredMessage], newest: int
) -> tuple[list[tuple[str, bytes]], int]:
    """Return all pairs of `layouts`, and the largest created_at up to the end."""
    laid = joined(list(layouts(start, messages, newest)), newest)
    return laid.pairs, laid.max_created


def size_of(messages: Sequence[StoredMessage]) -> int:
    """Return the bytes of messages, as a header counts them."""
    return sum(len(message.body) for message in messages)


def tokens_of(messages: Sequence[StoredMessage]) -> int:
    """Return the tokens of messages."""
    return sum(message.meta.tokens for message in messages)


def cut(seq: int, first: int, next_: int) -> list[str]:
    """
    Return the fields to remove so that nothing from the block of ``seq`` on is left.

    ``first``, ``next_``: what the session holds now.
    """
    begin = block_of(seq)
    full, last = block_of(next_), block_of(max(next_ - 1, first))
    gone = [f"{kind}{block}" for block in range(begin, full) for kind in "btd"]
    if last >= full:
        gone.append(f"t{full}")
    active = block_start(max(full, begin), first)
    gone.extend(f"m{at}" for at in range(active, next_))
    return gone
