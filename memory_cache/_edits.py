"""
The edit that the PUT of a transcript comes down to: as little as has to be written.

Transcripts may be long. All work on messages is done in runs, so that the event loop goes on in
between.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from memory_cache._assemble import view
from memory_cache._blocks import (
    Block,
    Laid,
    block_of,
    block_start,
    cut,
    digest,
    joined,
    layouts,
    size_of,
    tokens_of,
)
from memory_cache._json import stored_json
from memory_cache._ports import Condition, Rewrite, Span, Store
from memory_cache._rewrites import replacing, unhurried
from memory_cache._transcript import Scribe, rendered
from memory_cache._types import BLOCK, Header, SessionKey, StoredMessage
from memory_cache._view import ContractMessage, equals_view

_SLICE: Final = 32
"""Messages made in one turn of the event loop: some 0.2 ms."""

_LONGEST_CUT: Final = 4096
"""Messages within which the beginning of a transcript that lost its head is looked for."""

_HEADS: Final = 8
"""Places at which a transcript that lost its head is looked for: messages may all be equal."""

_SCATTERED_BYTES: Final = 1024 * 1024
_SCATTERED_BLOCKS: Final = 256
"""An edit that writes more writes all from the first difference on: the store does it in slices."""

_ODD: Final = 8
"""Blocks that may differ before one is equal; then it is another transcript."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a PUT comes down to: an append or an edit, under a condition."""

    condition: Condition | None
    change: tuple[StoredMessage, ...] | Rewrite
    views: list[bytes]


@dataclass(frozen=True, slots=True)
class Prefix:
    """
    How far a transcript that was sent equals the stored one.

    ``count`` messages are equal, ``views`` are theirs (joined by newlines where known so).
    """

    count: int
    views: list[bytes]


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent: messages from seq ``offset`` on, after those that are known to be equal."""

    messages: Sequence[ContractMessage]
    offset: int

    @property
    def end(self) -> int:
        """The seq after the last message."""
        return self.offset + len(self.messages)

    def part(self, start: int, end: int | None = None) -> Sequence[ContractMessage]:
        """Return the messages at these seqs."""
        return self.messages[start - self.offset : None if end is None else end - self.offset]

    def block(self, number: int, header: Header) -> Sequence[ContractMessage]:
        """Return the messages of a block."""
        return self.part(block_start(number, header.first), (number + 1) * BLOCK)


class MovedError(Exception):
    """The session changed while it was compared."""


class Editor:
    """Plans edits."""

    def __init__(self, store: Store, scribe: Scribe) -> None:
        """Read and make messages through these."""
        self._store = store
        self._scribe = scribe

    async def made(
        self,
        sent: Sequence[ContractMessage],
        newest: int,
        at: int,
        times: Iterator[int] | None = None,
    ) -> tuple[StoredMessage, ...]:
        """Return messages as they are stored; see `Scribe.write_contract`."""
        return await unhurried(self._scribe.write_contract(sent, newest, at, times), _SLICE)

    async def from_difference(
        self, key: SessionKey, span: Span, prefix: Prefix, sent: Sent
    ) -> Plan:
        """
        Plan to write the blocks that differ, from the first message that does.

        What is equal behind it, position by position, stays as it is stored; whole blocks are
        left alone, if what they know of those before them, the largest created_at, stays true.

        Raises:
            MovedError: the session changed.
        """
        texts = await self._equal_blocks(key, span, prefix, sent)
        plan = await self._edit(key, span, prefix, sent, texts)
        return plan or cast("Plan", await self._edit(key, span, prefix, sent, {}))

    async def _edit(
        self, key: SessionKey, span: Span, prefix: Prefix, sent: Sent, texts: Mapping[int, bytes]
    ) -> Plan | None:
        """Plan an edit that leaves the blocks of ``texts`` alone; None: it must not."""
        header = span.header
        seq = header.first + prefix.count
        begin, sealed = block_of(seq), block_of(span.start)
        changed = [number for number in range(begin, sealed) if number not in texts]
        if texts and len(changed) > _SCATTERED_BLOCKS:
            return None
        old = await self._sealed(key, header, changed)
        newest = 0
        times = self._scribe.times(header.max_created)
        parts: list[Laid] = []
        size, token_count, views = header.size, header.token_count, list(prefix.views)
        for number in range(begin, block_of(max(sent.end, header.next) - 1) + 1):
            if number in texts:
                views.append(texts[number])
                continue
            start, end = block_start(number, header.first), (number + 1) * BLOCK
            stored = old[number].messages() if number in old else _part(span, start, end)
            if number == begin or (texts and number <= sealed):
                newest = old[number].max_before if number in old else span.max_before
            at = max(seq, start)
            given = sent.part(at, end)
            kept, dropped = stored[: at - start], stored[at - start :]
            new = await self.made(given, header.max_created, at - header.first, times)
            written = [*_preferred(dropped, new, given), *new[len(dropped) :]]
            laid = joined(list(layouts(start, [*kept, *written], newest)), newest)
            if texts and number < sealed and laid.max_created != max(newest, *_times_of(stored)):
                return None
            newest = laid.max_created
            parts.append(laid)
            size -= size_of(stored)
            token_count -= tokens_of(stored)
            if written:
                views.append(b"\n".join(map(view, written)))
        laid = joined(parts, newest)
        if texts and sum(len(value) for _, value in laid.pairs) > _SCATTERED_BYTES:
            return None
        everything = len(changed) == sealed - block_of(header.first)
        gone = [f"{kind}{number}" for number in changed for kind in "btd"]
        change = Rewrite(
            whole=everything,
            gone=() if everything else gone + cut(span.start, header.first, header.next),
            pairs=laid.pairs,
            first=header.first,
            next=sent.end,
            size=size + laid.size,
            token_count=token_count + laid.token_count,
            max_created=newest,
            start=seq,
            end=sent.end,
            scattered=bool(texts),
        )
        return Plan(Condition(header.version), change, views)

    async def without_head(self, key: SessionKey, span: Span, sent: Sent) -> Plan | None:
        """
        Plan a PUT of a transcript whose oldest messages were cut off, if this is one.

        Raises:
            MovedError: the session changed.
        """
        header, messages = span.header, sent.messages
        if not _may_hold(messages[:_LONGEST_CUT], span.messages[-1]):
            return None
        begin = max(header.first, header.next - min(len(messages), _LONGEST_CUT))
        held = await self._sealed(key, header, range(block_of(begin), block_of(span.start)))
        stored: list[StoredMessage] = []
        for some in _stored(held.values(), span, begin):
            stored += some
            await asyncio.sleep(0)
        async for at in _heads(stored, messages):
            count = len(stored) - at
            views = await _all_equal(stored[at:], messages[:count])
            if views is not None:
                new = await self.made(messages[count:], header.max_created, count)
                change = await replacing((*stored[at:], *new), begin + at)
                views += (message.body for message in new)
                return Plan(Condition(header.version), change, views)
        return None

    async def _equal_blocks(
        self, key: SessionKey, span: Span, prefix: Prefix, sent: Sent
    ) -> dict[int, bytes]:
        """Return the texts of blocks behind the difference that are equal, as far as is known."""
        header = span.header
        numbers = range(block_of(header.first + prefix.count) + 1, block_of(span.start))
        if not numbers or sent.end < header.next:
            return {}
        digests = await self._store.digests(key, numbers, header)
        if digests is None:
            raise MovedError
        texts: dict[int, bytes] = {}
        for at, number in enumerate(numbers):
            text = rendered(sent.block(number, header)) if number in digests else None
            if text is not None and digest(text) == digests[number]:
                texts[number] = text
            elif at == _ODD and not texts:
                break
            await asyncio.sleep(0)
        return texts

    async def _sealed(
        self, key: SessionKey, header: Header, numbers: Sequence[int]
    ) -> dict[int, Block]:
        # Not through the near cache: they are about to go, and would drive hot sessions out.
        blocks = await self._store.blocks(key, numbers, header)
        if blocks is None:
            raise MovedError
        return blocks


def equal_views(stored: Sequence[StoredMessage], sent: Sequence[ContractMessage]) -> list[bytes]:
    """Return the views of the leading messages that are equal."""
    views = []
    for message, given in zip(stored, sent, strict=False):
        seen = view(message)
        if not equals_view(seen, given):
            break
        views.append(seen)
    return views


def _stored(blocks: Iterable[Block], span: Span, begin: int) -> Iterator[list[StoredMessage]]:
    """Yield what is stored from seq ``begin`` on, a block at a time."""
    for block in blocks:
        yield block.messages()[max(0, begin - block.start) :]
    yield span.messages[max(0, begin - span.start) :]


def _preferred(
    stored: Sequence[StoredMessage],
    new: Sequence[StoredMessage],
    sent: Sequence[ContractMessage],
) -> list[StoredMessage]:
    """Return, position by position, what is stored if it is equal, else what is new."""
    return [
        held if equals_view(view(held), given) else made
        for held, made, given in zip(stored, new, sent, strict=False)
    ]


def _may_hold(sent: Sequence[ContractMessage], stored: StoredMessage) -> bool:
    """Whether a message could be among those sent, by its content: reading more costs more."""
    content = stored_json(view(stored)).get("content")
    return any(given.content == content for given in sent)


async def _heads(
    stored: Sequence[StoredMessage], sent: Sequence[ContractMessage]
) -> AsyncIterator[int]:
    """Yield where what was sent may begin in what is stored; both ends of the rest are equal."""
    found = 0
    for at in range(max(0, len(stored) - len(sent)), len(stored)):
        if at % BLOCK == 0:
            await asyncio.sleep(0)
        ends = (stored[at], sent[0]), (stored[-1], sent[len(stored) - at - 1])
        if all(equals_view(view(held), given) for held, given in ends):
            yield at
            found += 1
            if found == _HEADS:
                return


async def _all_equal(
    stored: Sequence[StoredMessage], sent: Sequence[ContractMessage]
) -> list[bytes] | None:
    """Return the views of messages if all are equal to what was sent."""
    views: list[bytes] = []
    for at in range(0, len(stored), BLOCK):
        views += equal_views(stored[at : at + BLOCK], sent[at : at + BLOCK])
        if len(views) < min(at + BLOCK, len(stored)):
            return None
        await asyncio.sleep(0)
    return views


def _part(span: Span, start: int, end: int) -> list[StoredMessage]:
    return span.messages[max(0, start - span.start) : max(0, end - span.start)]


def _times_of(messages: Sequence[StoredMessage]) -> Iterator[int]:
    return (message.meta.created_at for message in messages)
