"""
Following a session: what happens to it, as it happens, in order and once.

A follower pulls. It has a place; it reads what comes after that, from the ring if that reaches
back so far, else from the store, a little at a time; then it waits until the bus tells that
there is more. So nothing is queued for it, and one who is slow holds no more than one who is
not. Nothing asks the store again and again: only where the bus is away, and as seldom as the
sweep for a session that the near cache has no room for.
"""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from itertools import chain, repeat
from typing import Any, Final
from zlib import crc32

from memory_cache._blocks import block_of
from memory_cache._config import CacheConfig
from memory_cache._entries import ENTRY_COST, Ask
from memory_cache._errors import (
    CacheClosedError,
    NearCacheOffError,
    StoreError,
    TranscriptEditedError,
    VersionLostError,
)
from memory_cache._events import Place, SessionEvent, SessionEventKind, happened
from memory_cache._near import NearCache
from memory_cache._page import Page
from memory_cache._ports import Clock
from memory_cache._reads import Reader
from memory_cache._single_flight import SingleFlight
from memory_cache._types import BLOCK, BOUNDED, NEWEST, Header, SessionKey, Version
from memory_cache._waiters import Watch

After = Page | Version | str | None
"""Where to go on: behind a page, behind an event (its ``id``), at a version; None: from now on."""

PATIENCE_SECONDS: Final = 30.0

_FILL: Final = Ask(64)
"""One size for all, so that followers of one session share one call."""

_PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between reads while the bus does not tell, or the store does not answer."""

_LEAST_WAIT: Final = 0.005
"""The store's clock and ours do not agree to the millisecond about when a session expires."""


class Follower:
    """Tells what happens to sessions."""

    def __init__(self, near: NearCache, reader: Reader, clock: Clock, config: CacheConfig) -> None:
        """Wait by the near cache's waiters, read by the reader."""
        self._config = config
        self._shared = _Shared(near, reader, clock, config)

    def events(
        self,
        key: SessionKey,
        after: After,
        patience_seconds: float | None,
    ) -> AsyncGenerator[SessionEvent]:
        """Yield what happens; see ``Followable.events``."""
        if self._config.near_cache_bytes < 2 * ENTRY_COST:
            raise NearCacheOffError("following needs the near cache, which is off")
        place = None if after is None else _place(after)
        return _Following(self._shared, key, patience_seconds).events(place)


class Followable:
    """What of a handle of a session is about following it."""

    __slots__ = ("_follower", "key")

    def __init__(self, key: SessionKey, follower: Follower) -> None:
        """Follow this session, whether it exists or not."""
        self.key = key
        self._follower = follower

    async def follow(
        self, *, after: After = None, patience_seconds: float | None = PATIENCE_SECONDS
    ) -> AsyncGenerator[dict[str, Any]]:
        """
        Yield messages as they are added by anybody, each once and in order.

        It ends when the session is deleted, or expires; parameters and errors are those of
        ``events``, which goes on where this raises.

        Raises:
            TranscriptEditedError: messages were changed or removed.
            VersionLostError: the store lost messages that were told, in a failover.
        """
        async with aclosing(self.events(after=after, patience_seconds=patience_seconds)) as events:
            async for event in events:
                if event.kind is SessionEventKind.MESSAGE:
                    yield event.message
                elif event.kind is SessionEventKind.DELETED:
                    return
                elif event.kind is SessionEventKind.EDITED:
                    raise TranscriptEditedError("the transcript was edited while it was followed")
                elif event.kind is SessionEventKind.LOST:
                    raise VersionLostError("the store lost messages that were told")

    def events(
        self,
        *,
        after: After = None,
        patience_seconds: float | None = PATIENCE_SECONDS,
    ) -> AsyncGenerator[SessionEvent]:
        """
        Yield what happens to the session, in order, whether it exists yet or not.

        ``after``: where to go on: behind a page, or behind an event by its ``id``, in any
        process and at any time; None: from now on. After a version alone it is told that the
        session was edited, unless that is the newest: what came in between cannot be known.
        ``patience_seconds``: how long the store may be away before that is an error; None: for
        ever.

        Close it (``contextlib.aclosing``) where the loop over it may be left. Cancelled, it ends;
        go on after the last event.

        Raises:
            NearCacheOffError: at once: what is heard of the bus is heard for the near cache.
            InvalidInputError: at once: ``after`` is none of these.
            StoreError: the store was away for longer.
            CacheClosedError: the cache was closed.
        """
        return self._follower.events(self.key, after, patience_seconds)


class _Shared:
    """What all followers of a cache use, and what those at one place need do only once."""

    def __init__(self, near: NearCache, reader: Reader, clock: Clock, config: CacheConfig) -> None:
        self.near = near
        self.reader = reader
        self.clock = clock
        self._sweep_seconds = config.sweep_seconds
        self.flights = SingleFlight[Page](clock.now, config.staleness_seconds)
        # Not the page itself: a large one would stay for as long as nothing else happens.
        self._last: tuple[Place, weakref.ref[Page], list[SessionEvent]] | None = None

    def until_sweep(self, key: SessionKey) -> float:
        """
        Return the seconds until one looks at a session though nothing was told.

        All who follow it look at the same time, and share one read of the store; at another
        session others do.
        """
        # Not `hash`, which is another one in each process: a simulation must replay exactly.
        phase = crc32(key.session_id.encode()) / 2**32 * self._sweep_seconds
        return self._sweep_seconds - (self.clock.now() + phase) % self._sweep_seconds

    def happened(self, place: Place, page: Page) -> list[SessionEvent]:
        """Return what happened; followers of one session are woken one after the other."""
        if self._last is not None:
            last_place, last_page, found = self._last
            if page is last_page() and (place is last_place or place == last_place):
                return found
        found = happened(place, page)
        self._last = (place, weakref.ref(page), found)
        return found


class _Following:
    """One follower of one session."""

    def __init__(self, shared: _Shared, key: SessionKey, patience_seconds: float | None) -> None:
        self._shared = shared
        self._near = shared.near
        self._reader = shared.reader
        self._clock = shared.clock
        self._key = key
        self._patience_seconds = patience_seconds
        # Rounds, one after the other, that found nothing and were not sure to be told of more.
        self._unsure = 0

    async def events(self, place: Place | None) -> AsyncGenerator[SessionEvent]:
        with self._near.watch(self._key) as watch:
            if place is None:
                page = await self._patiently(self._newest)
                place = Place.after(page.header)
                yield SessionEvent(SessionEventKind.FOLLOWING, place, page.first)
            while True:
                watch.look()
                opened = watch.opened
                page = self._held(place) or await self._patiently(partial(self._read, place))
                if watch.closed:
                    raise CacheClosedError("the cache was closed")
                found, header = self._shared.happened(place, page), page.header
                # Who reads slowly holds what is told at a time, not all that was read with it.
                del page
                for event in found:
                    place = event.place
                    yield event
                end = Place.after(header)
                if not found or (place == end and self._all_heard(header)):
                    place = end
                    await self._rest(watch, header, opened=opened)

    # Reading

    async def _read(self, place: Place) -> Page:
        """Return a page by which to judge what happened after a place."""
        if place.version is None:
            page = await self._newest()
        else:
            page = await self._reader.recent(self._key, _FILL, BOUNDED)
            if place.goes_on_at(page.header) is None:
                # What is held may be behind the place, which another process may have told.
                page = await self._newest()
        start = place.goes_on_at(page.header)
        if start is None or page.start <= start:
            return page
        block = block_of(start)
        page, joined = await self._shared.flights.do(self._key, block, partial(self._block, block))
        if joined and place.goes_on_at(page.header) is None:
            # It was asked for before what the place was told of.
            page, _ = await self._shared.flights.next(self._key, block, partial(self._block, block))
        return page

    def _held(self, place: Place) -> Page | None:
        """Return what came after a place, if it is all in the ring, which may answer."""
        if place.version is None:
            # Only the newest tells whether what is held was made since the place was told.
            return None
        now = self._clock.now()
        header = self._near.answering(self._key, now)
        start = place.goes_on_at(header)
        if header is None or start is None:
            return None
        return self._near.answer(self._key, Ask(header.next - start), now)

    async def _block(self, number: int) -> Page:
        """Return the messages of one block, which the store reads whole for any of them."""
        after = number * BLOCK - 1
        return await self._reader.page(
            self._key, before=None, after=after, limit=BLOCK, consistency=BOUNDED
        )

    async def _newest(self) -> Page:
        return await self._reader.recent(self._key, _FILL, NEWEST)

    async def _patiently(self, read: Callable[[], Awaitable[Page]]) -> Page:
        """Read, again and again while the store is away."""
        since = self._clock.now()
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            try:
                return await read()
            except StoreError:
                away = self._clock.now() - since
                if self._patience_seconds is not None and away >= self._patience_seconds:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("repeat does not end")

    # Waiting

    async def _rest(self, watch: Watch, header: Header | None, *, opened: bool) -> None:
        """
        Wait until there may be more than was read, of which this is the header.

        ``opened``: whether the channel was before it was read. Where every change since then is
        heard, nothing else is waited for than the session's deadline, of which no message tells,
        and the sweep if the near cache's own passes it by.
        """
        if self._all_heard(header):
            watch.opened = True
            self._unsure = 0
            seconds = max(_LEAST_WAIT, self._left_seconds())
        elif opened and header is None:
            self._unsure = 0
            seconds = self._shared.until_sweep(self._key)
        else:
            seconds = _PAUSES[min(self._unsure, len(_PAUSES) - 1)]
            self._unsure += 1
        while await watch.told(seconds):
            if watch.heard or self._near.holds(self._key):
                return
            # It was let go to make room. The channel is open, so a change will be heard.
            watch.look()
            seconds = min(seconds, self._shared.until_sweep(self._key))

    def _all_heard(self, header: Header | None) -> bool:
        """
        Whether every change since then was heard after one had looked, or will be.

        It need not be so of all that is live: what was read may have been asked for by somebody
        else, before a change that was heard before one looked.
        """
        live = self._near.live(self._key)
        return live is not None and live == header

    def _left_seconds(self) -> float:
        deadline = self._near.deadline(self._key)
        return float("inf") if deadline is None else deadline - self._clock.now()


def _place(after: Page | Version | str) -> Place:
    if isinstance(after, str):
        return Place.parse(after)
    if isinstance(after, Version):
        return Place(after)
    if after.header is None:
        return Place(None)
    return Place(after.header.version, after.header.edits, after.end)
