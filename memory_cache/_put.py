"""
The PUT of a whole transcript, which is all that clients of the contract know.

What is stored and equal stays as it is: its id, time and bytes. So a PUT that only grew is an
append; one that differs from some message on writes from there; one that lost its head and
grew moves ``first``; anything else replaces, atomically.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import orjson

from memory_cache._assemble import view
from memory_cache._blocks import block_of, block_start, cut, digest, layout
from memory_cache._errors import VersionMismatchError
from memory_cache._page import Page
from memory_cache._ports import Condition, Outcome, Rewrite, Span, Terms
from memory_cache._reads import Reader
from memory_cache._types import BLOCK, Header, SessionKey, StoredMessage, Tier, Version
from memory_cache._view import ContractMessage, contract_view, equals_view
from memory_cache._writes import Change, Wish, Writer, fingerprint, unhurried, whole

_TRIES: Final = 16
"""How often a PUT compares again when somebody else was faster; then it replaces."""

_BLOCKS: Final = 4
"""Blocks rendered in one turn of the event loop."""

_LONGEST_CUT: Final = 4096
"""Messages within which the beginning of a transcript that lost its head is looked for."""

_HEADS: Final = 8
"""Places at which a transcript that lost its head is looked for: messages may all be equal."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a PUT comes down to: an append or an edit, under a condition."""

    condition: Condition | None
    change: tuple[StoredMessage, ...] | Rewrite
    views: list[bytes]


@dataclass(frozen=True, slots=True)
class _Prefix:
    """
    How far a transcript that was sent equals the stored one.

    ``count`` messages are equal, ``views`` are theirs (joined by newlines where known so).
    """

    count: int
    views: list[bytes]


class Known(NamedTuple):
    """The caller has seen that what it does not send are the first ``held`` at ``version``."""

    version: Version
    held: int


class _MovedError(Exception):
    """The session changed while it was compared."""


class Putter:
    """Turns whole transcripts into the least that has to be written."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Write and read through these."""
        self._writer = writer
        self._store = writer.store
        self._scribe = writer.scribe
        self._reader = reader

    async def put(
        self,
        key: SessionKey,
        sent: Sequence[ContractMessage],
        fields: bytes,
        wish: Wish,
        known: Known | None = None,
    ) -> tuple[Change, Page]:
        """
        Make the session hold just these messages (after those that are known) and fields.

        Raises:
            VersionMismatchError: the session is not at the version that is known.
        """
        print_ = fingerprint("put")
        if wish.operation_id is not None:
            # orjson knows no named tuples.
            given = wish.input or orjson.dumps(list(map(tuple, sent))) + fields
            print_ = fingerprint("put", str(wish.ttl_ms), given)
        for left in reversed(range(_TRIES)):
            try:
                plan = (
                    await self._plan(key, sent, wish, known)
                    if left
                    else await self._replace(sent, wish)
                )
                change = await self._send(key, plan, fields, print_, wish)
            except _MovedError:
                if known is not None:
                    raise VersionMismatchError(None) from None
                continue
            except VersionMismatchError:
                if wish.condition is not None or known is not None:
                    raise
                continue
            return change[0], _echo(key, plan, change[1], fields, known.held if known else 0)
        raise AssertionError("unreachable: the last try has no condition of ours")

    async def _send(
        self, key: SessionKey, plan: _Plan, fields: bytes, print_: str, wish: Wish
    ) -> tuple[Change, Outcome]:
        last: list[Outcome] = []

        async def send(terms: Terms) -> Outcome:
            if isinstance(plan.change, Rewrite):
                last.append(await self._store.rewrite(key, plan.change, fields, terms))
            else:
                last.append(await self._store.append(key, plan.change, fields, terms))
            return last[-1]

        wish = replace(wish, condition=wish.condition or plan.condition)
        return await self._writer.send(key, wish, print_, send), last[-1]

    async def _plan(
        self, key: SessionKey, sent: Sequence[ContractMessage], wish: Wish, known: Known | None
    ) -> _Plan:
        span = await self._store.tail(key, 1)
        skip = known.held if known else 0
        if known and (span is None or span.header.version != known.version):
            raise VersionMismatchError(str(span.header.version) if span else None)
        if span is None:
            new = await unhurried(self._scribe.write_contract(sent, 0))
            return _Plan(Condition(None), new, [message.body for message in new])
        header = span.header
        if wish.condition is not None and wish.condition.version != header.version:
            return await self._replace(sent, wish)
        prefix = await self._equal_prefix(key, span, sent, header.first + skip)
        rest = sent[prefix.count - skip :]
        new = await unhurried(
            self._scribe.write_contract(rest, header.max_created, at=prefix.count)
        )
        views = prefix.views + [message.body for message in new]
        condition = Condition(header.version)
        if prefix.count == header.next - header.first:
            return _Plan(condition, new, views)
        if not prefix.count and (plan := await self._without_head(key, header, sent)):
            return plan
        return await self._from_difference(key, span, prefix, rest, new)

    async def _replace(self, sent: Sequence[ContractMessage], wish: Wish) -> _Plan:
        new = await unhurried(self._scribe.write_contract(sent, 0))
        return _Plan(wish.condition, whole(new, 0, 0), [message.body for message in new])

    async def _equal_prefix(
        self, key: SessionKey, span: Span, sent: Sequence[ContractMessage], offset: int
    ) -> _Prefix:
        """
        Compare block by block with digests, and message by message where these do not tell.

        ``offset``: the seq of the first message of ``sent``.
        """
        header = span.header
        numbers = range(block_of(offset), block_of(span.start))
        covered = [
            number
            for number in numbers
            if offset <= block_start(number, header.first)
            and (number + 1) * BLOCK <= offset + len(sent)
        ]
        digests = await self._store.digests(key, covered, header)
        if digests is None:
            raise _MovedError
        told = [number for number in covered if number in digests]
        texts = await unhurried((_joined(_part(sent, offset, n, header)) for n in told), _BLOCKS)
        joined = {number: text for number, text in zip(told, texts, strict=True) if text}
        unsure = []
        for number in numbers:
            if number in joined and digest(joined[number]) == digests[number]:
                continue
            unsure.append(number)
            if number in joined or offset + len(sent) < (number + 1) * BLOCK:
                break
        fetched = await self._reader.sealed(key, header, unsure)
        if fetched is None:
            raise _MovedError
        compared = dict(zip(unsure, fetched, strict=True))
        seq, views = offset, list[bytes]()
        for number in numbers:
            block = compared.get(number)
            if block is None:
                views.append(joined[number])
                seq = (number + 1) * BLOCK
                continue
            equal = _equal(
                block.messages()[seq - block.start :], sent[seq - offset : seq - offset + BLOCK]
            )
            views.extend(equal)
            seq += len(equal)
            if seq < (number + 1) * BLOCK:
                return _Prefix(seq - header.first, views)
        equal = _equal(span.messages[seq - span.start :], sent[seq - offset :])
        return _Prefix(seq + len(equal) - header.first, views + equal)

    async def _from_difference(
        self,
        key: SessionKey,
        span: Span,
        prefix: _Prefix,
        rest: Sequence[ContractMessage],
        new: tuple[StoredMessage, ...],
    ) -> _Plan:
        """
        Write from the first message that differs; its block is written whole.

        What is equal behind it, position by position, stays as it is stored.
        """
        header = span.header
        seq = header.first + prefix.count
        begin = block_start(block_of(seq), header.first)
        later = await self._reader.sealed(key, header, range(block_of(seq), block_of(span.start)))
        if later is None:
            raise _MovedError
        stored = [message for block in later for message in block.messages()] + span.messages
        at = later[0].start if later else span.start
        kept, dropped = stored[begin - at : seq - at], stored[seq - at :]
        pairs_ = zip(rest, new, [*dropped, *new[len(dropped) :]][: len(new)], strict=True)
        written = [
            held if held is made or equals_view(view(held), given) else made
            for given, made, held in pairs_
        ]
        max_before = later[0].max_before if later else span.max_before
        pairs, newest = layout(begin, [*kept, *written], max_before)
        change = Rewrite(
            whole=False,
            gone=cut(begin, header.first, header.next),
            pairs=pairs,
            first=header.first,
            next=seq + len(new),
            size=header.size + _size(written) - _size(dropped),
            token_count=header.token_count + _tokens(written) - _tokens(dropped),
            max_created=newest,
            start=seq,
            end=seq + len(new),
        )
        return _Plan(Condition(header.version), change, prefix.views + list(map(view, written)))

    async def _without_head(
        self, key: SessionKey, header: Header, sent: Sequence[ContractMessage]
    ) -> _Plan | None:
        """Plan a PUT of a transcript whose oldest messages were cut off, if this is one."""
        count = min(len(sent), header.next - header.first, _LONGEST_CUT)
        span = await self._store.tail(key, count)
        if span is None or span.header.version != header.version:
            raise _MovedError
        stored = span.messages
        for at in _heads(stored, sent):
            count = len(stored) - at
            equal = _equal(stored[at:], sent[:count])
            if len(equal) == count:
                new = await unhurried(
                    self._scribe.write_contract(sent[count:], header.max_created, at=count)
                )
                change = whole((*stored[at:], *new), span.start + at, 0)
                views = equal + [message.body for message in new]
                return _Plan(Condition(header.version), change, views)
        return None


def _heads(stored: Sequence[StoredMessage], sent: Sequence[ContractMessage]) -> Iterator[int]:
    """Yield where what was sent may begin in what is stored; both ends of the rest are equal."""
    found = 0
    for at in range(max(0, len(stored) - len(sent)), len(stored)):
        ends = (stored[at], sent[0]), (stored[-1], sent[len(stored) - at - 1])
        if all(equals_view(view(held), given) for held, given in ends):
            yield at
            found += 1
            if found == _HEADS:
                return


def _part(
    sent: Sequence[ContractMessage], offset: int, number: int, header: Header
) -> Sequence[ContractMessage]:
    """Return what was sent for a block; ``offset`` is the seq of the first of all."""
    return sent[block_start(number, header.first) - offset : (number + 1) * BLOCK - offset]


def _joined(some: Sequence[ContractMessage]) -> bytes | None:
    """Return a block's worth of what was sent as it would be stored; None: ids are missing."""
    if any(message.id is None or message.created_at is None for message in some):
        return None
    return b"\n".join(map(contract_view, some))


def _equal(stored: Sequence[StoredMessage], sent: Sequence[ContractMessage]) -> list[bytes]:
    """Return the views of the leading messages that are equal."""
    views = []
    for message, given in zip(stored, sent, strict=False):
        seen = view(message)
        if not equals_view(seen, given):
            break
        views.append(seen)
    return views


def _size(messages: Sequence[StoredMessage]) -> int:
    return sum(len(message.body) for message in messages)


def _tokens(messages: Sequence[StoredMessage]) -> int:
    return sum(message.meta.tokens for message in messages)


def _echo(key: SessionKey, plan: _Plan, outcome: Outcome, fields: bytes, skip: int) -> Page:
    """Return what was sent as it is held now, in the contract's form, without reading it back."""
    header = outcome.header
    first, next_ = (header.first, header.next) if header else (0, 0)
    views = tuple(plan.views)
    return Page(key, first + skip, next_, views, views, None, header, fields, Tier.STORE)
