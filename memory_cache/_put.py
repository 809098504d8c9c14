"""
The PUT of a whole transcript, which is all that clients of the contract know.

What is stored and equal stays as it is: its id, time and bytes. So a PUT that only grew is an
append; one that differs from some message on writes from there; one that lost its head and
grew moves ``first``; anything else replaces, atomically.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import orjson

from memory_cache._blocks import block_of, block_start, digest
from memory_cache._edits import Editor, MovedError, Plan, Prefix, Sent, equal_views
from memory_cache._errors import DamagedSessionError, VersionMismatchError
from memory_cache._page import Page
from memory_cache._ports import Condition, Outcome, Rewrite, Span, Terms
from memory_cache._reads import Reader
from memory_cache._rewrites import replacing
from memory_cache._transcript import rendered
from memory_cache._types import BLOCK, Header, SessionKey, Tier
from memory_cache._view import ContractMessage, equals_view
from memory_cache._writes import Change, Wish, Writer, fingerprint

_TRIES: Final = 16
"""How often a PUT compares again when somebody else was faster; then it replaces."""


class Known(NamedTuple):
    """The caller has seen that what it does not send are the first ``held`` under ``header``."""

    header: Header
    held: int


class Putter:
    """Turns whole transcripts into the least that has to be written."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Write and read through these."""
        self._writer = writer
        self._store = writer.store
        self._reader = reader
        self._editor = Editor(writer.store, writer.scribe)

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
                plan = None
                if left == _TRIES - 1:
                    plan = await self._grown(key, sent, wish, known)
                if plan is None and left:
                    plan = await self._plan(key, sent, wish, known)
                plan = plan or await self._replace(sent, wish)
                change = await self._send(key, plan, fields, print_, wish)
            except MovedError:
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
        self, key: SessionKey, plan: Plan, fields: bytes, print_: str, wish: Wish
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

    async def _grown(
        self, key: SessionKey, sent: Sequence[ContractMessage], wish: Wish, known: Known | None
    ) -> Plan | None:
        """
        Plan the append that it is by what is known already; None: the store must be asked.

        Whether that is still so the condition finds out.

        Raises:
            VersionMismatchError: another version is asked for than the one that is known.
        """
        if known is not None:
            header, views = known.header, list[bytes]()
            if wish.condition is not None and wish.condition.version != header.version:
                # Both cannot be so, and what is sent is not all that there would be.
                raise VersionMismatchError(str(header.version))
            if known.held != header.next - header.first:
                return None
        else:
            page = self._reader.held(key)
            if page is None or page.header is None:
                return None
            header, views = page.header, list(page.views)
            if wish.condition is not None and wish.condition.version != header.version:
                return None
            if len(sent) < len(views) or not all(map(equals_view, views, sent)):
                return None
        at = header.next - header.first
        new = await self._editor.made(sent[len(views) :], header.max_created, at)
        return Plan(Condition(header.version), new, views + [message.body for message in new])

    async def _plan(
        self, key: SessionKey, sent: Sequence[ContractMessage], wish: Wish, known: Known | None
    ) -> Plan:
        span = await self._store.tail(key, 1)
        skip = known.held if known else 0
        if known and (span is None or span.header.version != known.header.version):
            raise VersionMismatchError(str(span.header.version) if span else None)
        if span is None:
            if wish.condition is not None and wish.condition.version is not None:
                # A failover may bring back what it names, and an append would add to that.
                return await self._replace(sent, wish)
            new = await self._editor.made(sent, 0, 0)
            return Plan(Condition(None), new, [message.body for message in new])
        header = span.header
        if wish.condition is not None and wish.condition.version != header.version:
            return await self._replace(sent, wish)
        given = Sent(sent, header.first + skip)
        prefix = await self._equal_prefix(key, span, given)
        if prefix.count == header.next - header.first:
            new = await self._editor.made(
                sent[prefix.count - skip :], header.max_created, prefix.count
            )
            views = prefix.views + [message.body for message in new]
            return Plan(Condition(header.version), new, views)
        plan = None
        if not prefix.count:
            plan = await self._editor.without_head(key, span, given)
        return plan or await self._editor.from_difference(key, span, prefix, given)

    async def _replace(self, sent: Sequence[ContractMessage], wish: Wish) -> Plan:
        new = await self._editor.made(sent, 0, 0)
        change = await replacing(new, 0)
        return Plan(wish.condition, change, [message.body for message in new])

    async def _equal_prefix(self, key: SessionKey, span: Span, sent: Sent) -> Prefix:
        """Compare block by block with digests, and message by message where these do not tell."""
        header = span.header
        numbers = range(block_of(sent.offset), block_of(span.start))
        covered = [
            number
            for number in numbers
            if sent.offset <= block_start(number, header.first) and (number + 1) * BLOCK <= sent.end
        ]
        digests = await self._store.digests(key, covered, header)
        if digests is None:
            raise MovedError
        texts, unsure = await _by_digests(sent, header, numbers, digests)
        fetched = await self._reader.sealed(key, header, unsure)
        if fetched is None:
            raise MovedError
        compared = dict(zip(unsure, fetched, strict=True))
        seq, views = sent.offset, list[bytes]()
        for number in numbers:
            block, end = compared.get(number), (number + 1) * BLOCK
            if block is None:
                views.append(texts[number])
                seq = end
                continue
            await asyncio.sleep(0)
            equal = equal_views(block.messages()[seq - block.start :], sent.part(seq, end))
            views += equal
            seq += len(equal)
            if seq < end:
                return Prefix(seq - header.first, views)
            if number == unsure[-1] and digests.get(number) not in {None, digest(block.bodies)}:
                # It said that the block differs, so nothing behind that was looked at.
                raise DamagedSessionError("a block's digest is not of its messages")
        equal = equal_views(span.messages[seq - span.start :], sent.part(seq))
        return Prefix(seq + len(equal) - header.first, views + equal)


async def _by_digests(
    sent: Sent, header: Header, numbers: Iterable[int], digests: Mapping[int, bytes]
) -> tuple[dict[int, bytes], list[int]]:
    """Return the texts of blocks that are equal, and those to compare: the last may differ."""
    texts: dict[int, bytes] = {}
    unsure: list[int] = []
    for number in numbers:
        text = rendered(sent.block(number, header)) if number in digests else None
        if text is not None:
            await asyncio.sleep(0)
            if digest(text) == digests[number]:
                texts[number] = text
                continue
        unsure.append(number)
        if text is not None or sent.end < (number + 1) * BLOCK:
            break
    return texts, unsure


def _echo(key: SessionKey, plan: Plan, outcome: Outcome, fields: bytes, skip: int) -> Page:
    """Return what was sent as it is held now, in the contract's form, without reading it back."""
    header = outcome.header
    first, next_ = (header.first, header.next) if header else (0, 0)
    views = tuple(plan.views)
    return Page(key, first + skip, next_, views, views, None, header, fields, Tier.STORE)
