"""The read paths, in the order of the tiers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

from memory_cache._assemble import checked, from_span, whole
from memory_cache._blocks import Block, block_of
from memory_cache._config import CacheConfig
from memory_cache._entries import Ask
from memory_cache._errors import (
    StoreError,
    StoreTimeoutError,
    TranscriptEditedError,
    VersionTimeoutError,
)
from memory_cache._listener import Listener
from memory_cache._near import NearCache
from memory_cache._order import latest
from memory_cache._page import Page
from memory_cache._ports import Clock, Span, Store
from memory_cache._single_flight import SingleFlight
from memory_cache._stats import Counters
from memory_cache._types import BOUNDED, Consistency, Guarantee, Header, SessionKey

T = TypeVar("T")

_TRIES: Final = 5
"""How often a whole read begins again when the transcript is edited under it."""

_EVERYTHING: Final = 2**40

_HEDGE_SECONDS: Final = 0.02
"""How long a read waits for a delta that should be on its way before it asks the store."""

_FILL_MESSAGES: Final = 64
"""A cold read fetches as many, so that the ring is worth having."""

_SOME_BLOCKS: Final = 32
"""Sealed blocks an iteration holds at once."""


class Reader:
    """Answers from the near cache where it may, from the store otherwise."""

    def __init__(  # noqa: PLR0917  # the composition root alone calls it
        self,
        store: Store,
        near: NearCache,
        listener: Listener,
        clock: Clock,
        config: CacheConfig,
        counters: Counters,
    ) -> None:
        """Read what these hold."""
        self._store = store
        self._near = near
        self._listener = listener
        self._clock = clock
        self._config = config
        self._counters = counters
        self._flights = SingleFlight[Page](clock.now, config.staleness_seconds)
        self._newest = SingleFlight[Page](clock.now, config.staleness_seconds)

    def peek(self, key: SessionKey, ask: Ask) -> Page | None:
        """Return what the near cache may answer at this moment, without waiting."""
        page = self._peek(key, ask)
        self._counters.hits += page is not None
        return page

    def held(self, key: SessionKey) -> Page | None:
        """Return the whole transcript, if the near cache holds and may answer it; no hit."""
        return self._peek(key, Ask(_EVERYTHING))

    def validator(self, key: SessionKey) -> Callable[[Header], bool]:
        """Return a function that tells whether a page of this header is a hit at this moment."""
        return self._near.validator(key, self._clock.now)

    async def recent(self, key: SessionKey, ask: Ask, consistency: Consistency) -> Page:
        """Return the newest messages."""
        held = await self._from_near(key, ask, consistency)
        if held is not None:
            self._counters.hits += 1
            return held
        self._counters.misses += 1
        if consistency is BOUNDED:
            page, joined = await self._flights.do(key, ask, lambda: self._fetch(key, ask))
        else:
            call = self._newest.next(key, ask, lambda: self._fetch(key, ask))
            page, joined = await _in_time(call, consistency)
        self._counters.joined += joined
        return checked(page, consistency)

    async def page(
        self,
        key: SessionKey,
        *,
        before: int | None,
        after: int | None,
        limit: int,
        consistency: Consistency,
    ) -> Page:
        """Return messages on one side of a seq, from the store."""
        self._counters.misses += 1
        call = self._store.range(key, after=after, before=before, limit=limit)
        span = await _in_time(call, consistency)
        if span is None:
            return checked(Page.missing(key), consistency)
        first, next_ = span.header.first, span.header.next
        if after is not None:
            start = min(max(after + 1, first), next_)
            end = min(start + limit, next_)
        else:
            end = max(first, min(next_, next_ if before is None else before))
            start = max(first, end - limit)
        messages = span.messages[max(0, start - span.start) : max(0, end - span.start)]
        return checked(from_span(key, span, messages, start), consistency)

    async def transcript(self, key: SessionKey, consistency: Consistency) -> Page:
        """Return everything, joined from blocks; it is always the store's newest."""
        self._counters.misses += 1
        for _ in range(_TRIES):
            span = await _in_time(self._store.tail(key, 1), consistency)
            if span is None:
                return checked(Page.missing(key), consistency)
            numbers = range(block_of(span.header.first), block_of(span.start))
            blocks = await _in_time(self.sealed(key, span.header, numbers), consistency)
            if blocks is not None:
                return checked(whole(key, span, blocks), consistency)
        # Edited under us again and again: in one piece, then, which holds the store up for longer.
        all_of_it = self._store.range(key, after=-1, before=None, limit=_EVERYTHING)
        span = await _in_time(all_of_it, consistency)
        if span is None:
            return checked(Page.missing(key), consistency)
        return checked(from_span(key, span, span.messages, span.start), consistency)

    async def iterate(self, key: SessionKey) -> AsyncIterator[Page]:
        """
        Yield the transcript in runs of blocks, all of one version.

        Raises:
            TranscriptEditedError: it was edited meanwhile.
        """
        span = await self._store.tail(key, 1)
        if span is None:
            return
        end = block_of(span.start)
        for at in range(block_of(span.header.first), end, _SOME_BLOCKS):
            numbers = range(at, min(at + _SOME_BLOCKS, end))
            blocks = await self.sealed(key, span.header, numbers)
            if blocks is None:
                raise TranscriptEditedError("the transcript was edited while it was read")
            for block in blocks:
                yield from_span(key, span, block.messages(), block.start)
        yield from_span(key, span, span.messages, span.start)

    async def sealed(
        self, key: SessionKey, header: Header, numbers: Sequence[int]
    ) -> list[Block] | None:
        """Return sealed blocks of a header's (inc, edits); None: edited since."""
        held = {number: self._near.blocks.get(key, header, number) for number in numbers}
        absent = [number for number, block in held.items() if block is None]
        if absent:
            fetched = await self._store.blocks(key, absent, header)
            if fetched is None:
                return None
            held.update(fetched)
            self._near.blocks.keep(key, header, fetched)
        return [block for block in held.values() if block is not None]

    async def window(self, key: SessionKey, max_tokens: int, consistency: Consistency) -> Page:
        """Return the longest suffix of at most ``max_tokens``, read back as far as needed."""
        count = _FILL_MESSAGES
        while True:
            page = await self.recent(key, Ask(count), consistency)
            if page.start == page.first or sum(page.token_counts or ()) > max_tokens:
                return page.fit(max_tokens)
            if page.token_count <= max_tokens:
                return await self.transcript(key, consistency)
            count *= 4

    async def settle(self) -> None:
        """Wait for calls that go on though nobody waits for them any more."""
        await self._flights.settle()
        await self._newest.settle()

    def written(self, key: SessionKey) -> None:
        """Let no read join a call that began before a change of ours."""
        self._flights.forget(key)

    def _peek(self, key: SessionKey, ask: Ask) -> Page | None:
        return self._near.answer(key, ask, self._clock.now())

    async def _from_near(self, key: SessionKey, ask: Ask, consistency: Consistency) -> Page | None:
        if consistency.guarantee is Guarantee.NEWEST:
            return self._peek(key, ask) if await self._fenced(key) else None
        page = self._peek(key, ask)
        if page is None and await self._fenced(key):
            # Only the lease had lapsed: one fence puts that right for all sessions.
            page = self._peek(key, ask)
        if page is not None and consistency.version is not None and not _holds(page, consistency):
            await self._arrival(key, page, consistency)
            page = self._peek(key, ask)
            return page if page is not None and _holds(page, consistency) else None
        return page

    async def _fenced(self, key: SessionKey) -> bool:
        """Whether a fence has passed since now, if that is all that is missing."""
        if not self._near.live(key):
            return False
        try:
            await self._listener.fresh()
        except StoreError:
            return False
        return True

    async def _arrival(self, key: SessionKey, page: Page, consistency: Consistency) -> None:
        """Give the delta of a version a moment to arrive, if it may be one to come."""
        version, header = consistency.version, page.header
        if version is None or header is None or version.inc != header.inc:
            return
        future = self._near.passed(key, header._replace(num=version.num, tag=version.tag))
        if future is not None:
            try:
                await asyncio.wait([future], timeout=_HEDGE_SECONDS)
            finally:
                future.cancel()

    async def _fetch(self, key: SessionKey, ask: Ask) -> Page:
        load = self._near.begin(key)
        if load is None:
            return await self._from_store(key, ask, None)
        sent_at = self._clock.now()
        try:
            span = await self._store.tail(key, max(ask.messages, _FILL_MESSAGES), load.have)
            page = None if span is None else self._near.land(load, span, sent_at, ask)
        except BaseException:
            self._near.failed(load)
            raise
        if span is None:
            self._near.gone(load)
            return Page.missing(key)
        if page is not None:
            return page
        return await self._from_store(key, ask, span if load.have is None else None)

    async def _from_store(self, key: SessionKey, ask: Ask, span: Span | None) -> Page:
        """Return a page that no ring can give, read back as far as created_at asks for."""
        count = ask.messages
        while True:
            span = span or await self._store.tail(key, count)
            if span is None:
                return Page.missing(key)
            header, messages = span.header, span.messages
            start = max(header.first, header.next - ask.messages)
            if not ask.by_created_at:
                return from_span(key, span, messages[start - span.start :], start)
            complete = span.start == header.first
            chosen = latest(messages, ask.messages, span.max_before, complete=complete)
            if chosen is not None:
                return from_span(key, span, [messages[at] for at in chosen], start)
            count, span = 2 * max(count, len(messages)), None


async def _in_time(call: Awaitable[T], consistency: Consistency) -> T:
    """Await the store; a version that was asked for and is slow to come has its own error."""
    try:
        return await call
    except StoreTimeoutError as error:
        if consistency.guarantee is Guarantee.AT_LEAST:
            raise VersionTimeoutError("the version did not arrive in time") from error
        raise


def _holds(page: Page, consistency: Consistency) -> bool:
    wanted, header = consistency.version, page.header
    return wanted is None or (header is not None and header.holds(wanted))
