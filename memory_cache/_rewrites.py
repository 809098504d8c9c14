"""Edits as the store takes them, laid out in slices: transcripts may be long."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from memory_cache._blocks import cut, joined, layout, layouts
from memory_cache._ports import Rewrite, Span
from memory_cache._types import StoredMessage

_SLICE: Final = 32
"""Messages worked on in one turn of the event loop: some 0.5 ms."""

_BLOCKS: Final = 4
"""Blocks laid out in one turn of the event loop: some 0.3 ms."""

T = TypeVar("T")


async def unhurried(items: Iterator[T], at_once: int = _SLICE) -> tuple[T, ...]:
    """Work through many items in slices: the event loop goes on in between."""
    taken: list[T] = []
    while some := list(islice(items, at_once)):
        taken.extend(some)
        if len(some) == at_once:
            await asyncio.sleep(0)
    return tuple(taken)


async def replacing(messages: Sequence[StoredMessage], first: int) -> Rewrite:
    """Return the edit after which the session holds just these, from seq ``first`` on."""
    laid = joined(await unhurried(layouts(first, messages, 0), _BLOCKS), 0)
    return Rewrite(
        whole=True,
        gone=(),
        pairs=laid.pairs,
        first=first,
        next=first + len(messages),
        size=laid.size,
        token_count=laid.token_count,
        max_created=laid.max_created,
        start=first,
        end=first + len(messages),
    )


def without_last(span: Span) -> Rewrite:
    """Return the edit that takes away the last message; ``span`` holds the newest block."""
    header, kept, last = span.header, span.messages[:-1], span.messages[-1]
    pairs, newest = layout(span.start, kept, span.max_before)
    return Rewrite(
        whole=False,
        gone=cut(span.start, header.first, header.next),
        pairs=pairs,
        first=header.first,
        next=header.next - 1,
        size=header.size - len(last.body),
        token_count=header.token_count - last.meta.tokens,
        max_created=newest,
        start=header.next - 1,
        end=header.next - 1,
    )
