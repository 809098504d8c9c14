"""
What a large change comes down to: fields to write before, and what one script does then.

Pure: the thinking about blocks that is not the store's doing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from memory_cache._blocks import block_of, block_start, layout, runs
from memory_cache._ports import Rewrite, Span
from memory_cache._types import BLOCK, Header, StoredMessage

LOOSE_BYTES: Final = 1024 * 1024
"""A block that has more when it is sealed keeps its messages apart, as an active one does."""

ABSENT: Final = "absent"
"""The base of a plan for a session that does not exist."""

Pair = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    A change whose fields are written before it is made.

    Attributes:
        base: the version that is built upon (``inc num tag``); ``ABSENT``; empty: any, for
            nothing of it stays.
        numbers: first, next, size, token count, largest created_at; start and end of the outcome.
        pairs: what is written before, block by block.
        stop: the blocks of the base before this seq are copied.
        beyond: the pairs are written in the session itself, beyond its end; nothing is copied.
        appends: this is no edit.
        last: what is written, and gone: what is removed, in the script.
    """

    base: str
    numbers: Sequence[int]
    pairs: Iterator[Pair]
    stop: int = 0
    beyond: bool = False
    appends: bool = False
    last: Sequence[Pair] = ()
    gone: Sequence[str] = ()


def base_of(header: Header) -> str:
    """Return a version as conditions of the scripts have it."""
    return f"{header.inc} {header.num} {header.tag}"


def numbers_of(change: Rewrite) -> list[int]:
    """Return the numbers of an edit, in the order of the script."""
    return [
        *(change.first, change.next, change.size, change.token_count, change.max_created),
        *(change.start, change.end),
    ]


def editing(change: Rewrite, base: str) -> Plan:
    """Plan an edit: all that it writes and removes is from some block on."""
    touched = chain((name for name, _ in change.pairs), change.gone)
    stays = 0 if change.whole else min(int(name[1:]) for name in touched if name[0] == "t")
    return Plan(
        base="" if change.whole else base,
        numbers=numbers_of(change),
        pairs=loosened(change.pairs, change.first),
        stop=stays * BLOCK,
    )


def appending(span: Span | None, messages: Sequence[StoredMessage], size: int) -> Plan:
    """
    Plan an append to a session of which this is the newest block, or that does not exist.

    Where its active block is filled, that is written anew as a whole.
    """
    tokens = sum(message.meta.tokens for message in messages)
    newest = max(0, *(message.meta.created_at for message in messages))
    if span is None:
        numbers = [0, len(messages), size, tokens, newest, 0, len(messages)]
        pairs = loosened(_laid_out(0, messages, 0), 0)
        return Plan(ABSENT, numbers, pairs, appends=True)
    header = span.header
    first, end = header.first, header.next
    numbers = [
        *(first, end + len(messages), header.size + size, header.token_count + tokens),
        *(max(newest, header.max_created), end, end + len(messages)),
    ]
    base = base_of(header)
    if end % BLOCK == 0 or not span.messages:
        pairs = loosened(_laid_out(end, messages, header.max_created), first)
        return Plan(base, numbers, pairs, beyond=True, appends=True)
    block, room = block_of(end), BLOCK - end % BLOCK
    head, newest = layout(span.start, [*span.messages, *messages[:room]], span.max_before)
    kept = {f"m{seq}" for seq in range(span.start, end)}
    # What is in use stays: the sidecar is replaced, and single messages go, in the script.
    sidecar = f"t{block}"
    written = [pair for pair in loosened(head, first) if pair[0] not in {sidecar, *kept}]
    return Plan(
        base=base,
        numbers=numbers,
        pairs=chain(written, loosened(_laid_out(end + room, messages[room:], newest), first)),
        beyond=True,
        appends=True,
        last=[pair for pair in head if pair[0] == sidecar],
        gone=sorted(kept) if any(name == f"b{block}" for name, _ in written) else (),
    )


def loosened(pairs: Iterable[Pair], first: int) -> Iterator[Pair]:
    """Yield what a change writes, the large blocks in single messages."""
    for field, value in pairs:
        if field[0] == "b" and len(value) > LOOSE_BYTES:
            start = block_start(int(field[1:]), first)
            for seq, body in enumerate(value.split(b"\n"), start):
                yield f"m{seq}", body
        else:
            yield field, value


def _laid_out(start: int, messages: Sequence[StoredMessage], max_before: int) -> Iterator[Pair]:
    """Yield the fields that hold these messages, a block at a time."""
    for _, at, to in runs(start, messages):
        pairs, max_before = layout(start + at, messages[at:to], max_before)
        yield from pairs
