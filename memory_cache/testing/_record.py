"""
One session's record as the in-memory server keeps it, and what reads and appends make of it.

The cells are those of the real record (``b<n>``, ``t<n>``, ``d<n>``, ``m<seq>``), because an
edit is told to a store in these.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from memory_cache._blocks import Block, block_of, block_start, layout
from memory_cache._errors import DamagedSessionError
from memory_cache._ports import FOREVER, Have, Rewrite, Span
from memory_cache._types import BLOCK, Header, StoredMessage


class Record(NamedTuple):
    """
    What the server holds of a session; never changed, only replaced.

    ``deadline``: milliseconds since the epoch, ``FOREVER`` if there is none. ``put_record``:
    what the change that made this version wants to be remembered.
    """

    header: Header
    fields: bytes
    cells: Mapping[str, bytes]
    deadline: int
    put_record: bytes = b""

    def block(self, number: int) -> Block:
        """
        Return a block, sealed or active.

        Raises:
            DamagedSessionError: a part of it is missing.
        """
        first, next_ = self.header.first, self.header.next
        start = block_start(number, first)
        try:
            if (number + 1) * BLOCK <= next_:
                bodies = self.cells[f"b{number}"]
            else:
                bodies = b"\n".join(self.cells[f"m{seq}"] for seq in range(start, next_))
            return Block(start, bodies, self.cells[f"t{number}"], self.cells.get(f"d{number}", b""))
        except KeyError as error:
            raise DamagedSessionError("a block is missing") from error

    def messages(self) -> list[StoredMessage]:
        """Return the whole transcript."""
        first, next_ = self.header.first, self.header.next
        numbers = range(block_of(first), block_of(next_ - 1) + 1) if next_ > first else ()
        return [message for number in numbers for message in self.block(number).messages()]


def append(
    before: Record | None, header: Header, messages: Sequence[StoredMessage]
) -> tuple[Header, dict[str, bytes]]:
    """Return header and cells after messages were added; ``header`` has the new version."""
    at = header.next
    cells = dict(before.cells) if before else {}
    header = header._replace(
        next=at + len(messages),
        size=header.size + sum(len(message.body) for message in messages),
        token_count=header.token_count + sum(message.meta.tokens for message in messages),
    )
    if not messages:
        return header, cells
    begin = block_start(block_of(at), header.first)
    kept: list[StoredMessage] = []
    max_before = header.max_created
    if before and begin < at:
        active = before.block(block_of(at))
        kept, max_before = active.messages(), active.max_before
    pairs, newest = layout(begin, [*kept, *messages], max_before)
    for seq in range(begin, at):
        del cells[f"m{seq}"]
    cells.update(pairs)
    return header._replace(max_created=newest), cells


def rewrite(
    before: Record | None, header: Header, change: Rewrite
) -> tuple[Header, dict[str, bytes]]:
    """Return header and cells after an edit; ``header`` has the new version."""
    cells = {} if before is None or change.whole else dict(before.cells)
    for name in change.gone:
        cells.pop(name, None)
    cells.update(change.pairs)
    header = header._replace(
        first=change.first,
        next=change.next,
        edits=header.edits + 1 if before else 0,
        size=change.size,
        token_count=change.token_count,
        max_created=change.max_created,
    )
    return header, cells


def tail(record: Record, now_ms: int, count: int, have: Have | None) -> Span:
    """Return the newest messages, or what the reader lacks of them, in whole blocks."""
    header = record.header
    if have is not None and not header.holds(have.header.version):
        have = None
    start = max(header.first, header.next - count)
    if have and have.header.edits == header.edits:
        furthest = max(header.first, header.next - max(count, have.reach))
        if furthest <= have.next <= header.next:
            start = have.next
    known = have is not None and have.header.fields_num >= header.fields_num
    return _span(record, now_ms, start, header.next, None if known else record.fields)


def around(record: Record, now_ms: int, after: int | None, before: int | None, limit: int) -> Span:
    """Return messages on one side of a seq, in whole blocks; with neither, the newest."""
    first, next_ = record.header.first, record.header.next
    if after is not None:
        start = min(next_, max(first, after + 1))
        return _span(record, now_ms, start, min(next_, start + limit), record.fields)
    end = next_ if before is None else max(first, min(next_, before))
    return _span(record, now_ms, max(first, end - limit), end, record.fields)


def _span(record: Record, now_ms: int, start: int, end: int, fields: bytes | None) -> Span:
    left_ms = FOREVER if record.deadline == FOREVER else record.deadline - now_ms
    if start >= end:
        return Span(record.header, left_ms, fields, start, [], record.header.max_created)
    found = [record.block(number) for number in range(block_of(start), block_of(end - 1) + 1)]
    messages = [message for block in found for message in block.messages()]
    return Span(record.header, left_ms, fields, found[0].start, messages, found[0].max_before)
