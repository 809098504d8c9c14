"""What scripts reply, as the store's callers know it."""

from collections.abc import Sequence
from typing import Final

from memory_cache._blocks import Block, block_of, is_text
from memory_cache._config import CacheConfig
from memory_cache._errors import (
    DamagedSessionError,
    OperationReusedError,
    StoreError,
    TooLargeError,
    VersionMismatchError,
)
from memory_cache._json import stored_fields
from memory_cache._ports import Outcome, Span, Terms
from memory_cache._redis.slices import header_of
from memory_cache._types import BLOCK, LEAST_BYTES, MOST, Header, StoredMessage

_PARSED_BYTES: Final = 4096
"""Fields of no more are parsed at once: some microseconds."""


class LateError(Exception):
    """The attempt came later than it may be carried out; ``ms`` is the store's time."""

    def __init__(self, ms: int) -> None:
        """Keep the time."""
        super().__init__(ms)
        self.ms = ms


def outcome_of(reply: list[bytes], terms: Terms, config: CacheConfig) -> Outcome | None:
    """
    Return what a script says of a change; None: nothing was done, but it may be tried.

    Raises:
        LateError: the attempt came too late, by the store's clock; nothing was done.
        VersionMismatchError, OperationReusedError, TooLargeError: it is refused.
        StoreError: this is the reply to something else.
        DamagedSessionError: the record of the operation was not written by us.
    """
    status, tag, line, start, end, note = reply
    if tag.decode() != terms.tag:
        # A reply to somebody else's command: this connection can no longer be trusted.
        raise StoreError("the store's answers are out of step", applied="unknown")
    header = header_of(line) if line else None
    if status in {b"clear", b"crossed"}:
        return None
    if status == b"late":
        raise LateError(int(note))
    if status == b"mismatch":
        raise VersionMismatchError(str(header.version) if header else None)
    if status == b"reused":
        raise OperationReusedError("this operation id was used for something else")
    if status == b"full":
        raise TooLargeError("messages", session_limit(config))
    if not int(start) <= int(end) < MOST:
        raise DamagedSessionError("what is remembered of the operation cannot be read")
    return Outcome(
        header,
        int(start),
        int(end),
        replayed=status == b"replayed",
        missing=status == b"missing",
        note=note,
    )


def span_of(
    header: Header, left_ms: int, fields: bytes | None, start: int, blocks: Sequence[Block]
) -> Span:
    """
    Return the messages of blocks that were read together.

    Raises:
        DamagedSessionError: a block lacks some, they do not add up to what the header says, or
            the fields are none.
    """
    messages: list[StoredMessage] = []
    size = 0
    for number, block in enumerate(blocks, block_of(start)):
        if not is_text(block.bodies):
            raise DamagedSessionError("a stored message cannot be read")
        messages.extend(block.messages())
        if start + len(messages) != min((number + 1) * BLOCK, header.next):
            raise DamagedSessionError("a block is not whole")
        size += len(block.bodies) + 1
    size -= len(messages)
    others = header.next - header.first - len(messages)
    if size > header.size - LEAST_BYTES * others or (size < header.size and not others):
        raise DamagedSessionError("the messages do not have the bytes that the header says")
    if fields is not None:
        _check_fields(fields)
    max_before = blocks[0].max_before if blocks else header.max_created
    if max_before > header.max_created:
        # Read on, it would make one look for older messages among all there are.
        raise DamagedSessionError("a block is later than the header says")
    return Span(header, left_ms, fields, start, messages, max_before)


def _check_fields(fields: bytes) -> None:
    """
    Look at a session's fields; those that are long are parsed where they are used.

    Raises:
        DamagedSessionError: they are no object in one line of JSON.
    """
    if not is_text(fields) or b"\n" in fields:
        raise DamagedSessionError("the fields cannot be read")
    if len(fields) <= _PARSED_BYTES:
        stored_fields(fields)


def session_limit(config: CacheConfig) -> str:
    """Say that a session would be too large."""
    return f"the session would be over {config.max_session_bytes} bytes"
