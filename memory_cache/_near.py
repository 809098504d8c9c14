"""
The near cache (tier L1): rings of hot sessions and sealed blocks, in one byte budget.

Every change of it is one plain function without ``await``, so the event loop never shows a
half of one. What may answer is decided in ``_coherence``; here its effects are carried out.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from memory_cache._assemble import views_of
from memory_cache._audit import departure, interruption
from memory_cache._coherence import Effect, Event, Lease, State, judge, replay, step
from memory_cache._config import CacheConfig
from memory_cache._delta import Delta
from memory_cache._entries import (
    ENTRY_COST,
    Ask,
    Budget,
    Entry,
    Held,
    Load,
    SealedBlocks,
    deadline_of,
    page_of,
)
from memory_cache._page import Page
from memory_cache._ports import Have, Span
from memory_cache._ring import Ring
from memory_cache._stats import Counters
from memory_cache._types import Header, SessionKey, Tier
from memory_cache._waiters import Waiters, Watch

_LEAST_BUDGET: Final = 2 * ENTRY_COST
"""With less the near cache holds nothing."""

_AWAITED: Final = frozenset({State.LIVE, State.LOADING})
"""States in which a change of ours is waited for: it will be heard, or they end."""

_MOST_KEPT: Final = 256
"""Deltas kept during one load; a load that takes longer begins again."""


class NearCache:
    """Answers reads where it may; changes by the bus and by snapshots only."""

    def __init__(
        self,
        config: CacheConfig,
        counters: Counters,
        subscribe: Callable[[SessionKey], None],
        unsubscribe: Callable[[SessionKey], None],
    ) -> None:
        """Use the two functions to open and close channels; neither may block."""
        self._config = config
        self._counters = counters
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._held = Budget(config.near_cache_bytes, self._evicted)
        # Of a ring, and of what is kept during a load.
        self._most_bytes = config.near_cache_bytes // 8
        self.blocks = SealedBlocks(self._held)
        self.waiters = Waiters()
        self.lease = Lease(config.staleness_seconds)
        self.generation = 0
        self.connected = False

    # Reading

    def answer(self, key: SessionKey, ask: Ask, now: float) -> Page | None:
        """Return the messages asked for if the near cache may answer, else None."""
        entry = self._entry(key)
        if entry is None or not self._answers(entry, now):
            return None
        entry.used = True
        if entry.answered is not None:
            asked, page = entry.answered
            if page.header is entry.header and asked == ask:
                return page
        found = page_of(entry, ask, Tier.NEAR)
        entry.answered = None if found is None else (ask, found)
        return found

    def validator(self, key: SessionKey, now: Callable[[], float]) -> Callable[[Header], bool]:
        """
        Return a function: may what was answered with this very header be answered again?

        It remembers the entry, which saves two look-ups of three.
        """
        entry: Entry | None = None

        def valid(header: Header) -> bool:
            nonlocal entry
            at = now()
            if entry is None or not self._answers(entry, at):
                # What was let go never answers again; there may be another by now.
                entry = self._entry(key)
                if entry is None or not self._answers(entry, at):
                    return False
            if entry.header is not header:
                return False
            entry.used = True
            self._counters.hits += 1
            return True

        return valid

    def live(self, key: SessionKey) -> Header | None:
        """Return the header it would answer with, given a lease; None: it would not."""
        entry = self._entry(key)
        return entry.header if entry is not None and self._live(entry) else None

    def answering(self, key: SessionKey, now: float) -> Header | None:
        """Return the header it would answer with at this moment; None: it may not."""
        entry = self._entry(key)
        return entry.header if entry is not None and self._answers(entry, now) else None

    def newest(self, key: SessionKey) -> int:
        """Return the largest created_at known of the session, in microseconds."""
        entry = self._entry(key)
        return entry.header.max_created if entry is not None and entry.header else 0

    def holds(self, key: SessionKey) -> bool:
        """Whether anything is held of the session, suspect or not."""
        return self.deadline(key) is not None

    def deadline(self, key: SessionKey) -> float | None:
        """Return when what is held of the session may have expired; None: nothing is held."""
        entry = self._entry(key)
        return entry.deadline if entry is not None and entry.header is not None else None

    # Loading

    def begin(self, key: SessionKey) -> Load | None:
        """Note that a snapshot is about to be fetched; None: off, or there is no subscription."""
        if self._config.near_cache_bytes < _LEAST_BUDGET or not self.connected:
            return None
        entry = self._entry(key)
        if entry is None:
            entry = Entry(key, self.generation)
            if entry.cost > self._config.near_cache_bytes:
                return None
            self._held[key] = entry
        self._live(entry)
        if entry.state is State.COLD:
            self._step(entry, Event.ASKED)
            self._subscribe(key)
        elif entry.state is State.SUSPECT:
            self._step(entry, Event.FETCHED)
            entry.serial += 1
            entry.forget_kept()
        have = None
        if entry.header and entry.ring and entry.state is not State.LIVE:
            have = Have(entry.header, entry.ring.end, self._config.ring_messages)
        return Load(entry, self.generation, entry.serial, have, entry.fields)

    def land(self, load: Load, span: Span, sent_at: float, ask: Ask) -> Page | None:
        """
        Take a snapshot in, and return a page of it if what is held now covers it.

        The ring may answer from now on if the load was begun in this generation, with the
        channel open; else the data is held as suspect (rules 2, 5 and 6).

        Raises:
            DamagedSessionError: a message cannot be read, or one is missing; nothing changed.
        """
        entry = load.entry
        if self._held.get(entry.key) is not entry:
            return None
        current = load.generation == self.generation and load.serial == entry.serial
        if self._live(entry):
            return None
        # Whatever may fail is done before anything changes (rule 9).
        views = views_of(span)
        if load.have is not None and (kind := departure(load.have.header, span.header)):
            self._counters.departures[kind] += 1
        loading = current and entry.state is State.LOADING
        fitting = replay(span.header, entry.kept) if loading else None
        # Not sent: still what they were when the load was begun, which may not be held any more.
        fields = load.fields if span.fields is None else span.fields
        fresh = Ring(
            span.start,
            span.max_before,
            capacity=self._config.ring_messages,
            max_bytes=self._most_bytes,
        )
        was_held = entry.header is not None
        continued = entry.install(span, views, fields, deadline_of(sent_at, span.left_ms), fresh)
        self._counters.revalidated += continued
        self._counters.reloaded += was_held and not continued
        if loading:
            event = Event.MISSED if fitting is None else Event.LANDED
            if self._step(entry, event, "missed") is Effect.INSTALL:
                self._counters.fills += 1
                for delta in fitting or ():
                    self._apply(entry, delta, sent_at)
        if entry.state is not State.LOADING:
            # Else they are kept for a load that was begun after this one.
            entry.forget_kept()
        page = page_of(entry, ask, Tier.STORE)
        self._weigh(entry)
        return page

    def failed(self, load: Load) -> None:
        """Note that the snapshot will not come."""
        entry = load.entry
        current = load.generation == self.generation and load.serial == entry.serial
        if current and self._held.get(entry.key) is entry:
            self._step(entry, Event.FAILED, "failed")

    def gone(self, load: Load) -> None:
        """Note that the store has no such session: nothing is held of it (rule 8)."""
        self.failed(load)
        entry = load.entry
        if self._held.get(entry.key) is entry and entry.state is State.LIVE:
            # Made since, or taken away by hand, of which no message tells.
            self._step(entry, Event.DOUBT, "gone")
        elif self._held.get(entry.key) is entry:
            del self._held[entry.key]
            self._retire(entry)

    # The bus

    def began(self) -> None:
        """Note that a generation began; nothing is subscribed in it."""
        self.connected = True
        self._counters.generations += 1

    def lost(self) -> None:
        """Note that the generation ended: everything held is suspect from now on (rule 6)."""
        self._counters.suspects["lost"] += len(self.hot())
        self.connected = False
        self.generation += 1
        self.lease.end()
        self.waiters.wake_all()

    def opened(self, key: SessionKey) -> None:
        """Note that the last SUBSCRIBE for this session was confirmed."""
        entry = self._entry(key)
        if entry is not None and not self._live(entry):
            self._step(entry, Event.OPENED)
        self.waiters.opened(key)

    def heard(self, key: SessionKey, delta: Delta) -> None:
        """Take in a change that came over the bus (rules 1 and 3)."""
        entry = self._entry(key)
        if entry is not None:
            self._live(entry)
            event = judge(entry.header, delta)
            effect = self._step(entry, event, self._reason(entry, event, delta))
            if effect is Effect.APPLY:
                # What comes after a fence that has passed was executed after that was sent.
                self._apply(entry, delta, self.lease.passed)
                self._weigh(entry)
            elif effect is Effect.KEEP:
                entry.keep(delta)
                if len(entry.kept) > _MOST_KEPT or entry.kept_cost > self._most_bytes:
                    self._step(entry, Event.DOUBT, "overflow")
                    entry.forget_kept()
                self._weigh(entry)
        self.waiters.wake(key, delta.header)

    def doubt(self, key: SessionKey, reason: str) -> None:
        """Note that what is held of a session may be behind."""
        entry = self._entry(key)
        if entry is not None:
            self._live(entry)
            self._step(entry, Event.DOUBT, reason)

    def passed(self, key: SessionKey, after: Header) -> asyncio.Future[None] | None:
        """
        Return what is done once the delta of a change of ours has passed; None: it has.

        It is done, too, when the session becomes suspect: a read then asks the store.
        """
        entry = self._entry(key)
        if entry is None:
            return None
        if self._live(entry):
            if entry.header is None or entry.header.holds(after.version):
                return None
        elif entry.state is not State.LOADING or any(
            delta.header.tag == after.tag for delta in entry.kept
        ):
            return None
        return self.waiters.wait(key, after.version)

    @contextmanager
    def watch(self, key: SessionKey) -> Iterator[Watch]:
        """Give a watch of a session until the block ends; for so long its channel stays open."""
        try:
            with self.waiters.watch(key) as watch:
                yield watch
        finally:
            self._close_channel(key)

    # What it is like

    def hot(self) -> list[tuple[SessionKey, Header]]:
        """Return the sessions it would answer for, and their headers."""
        entries = (value for value in self._held.values() if isinstance(value, Entry))
        return [(one.key, one.header) for one in entries if self._live(one) and one.header]

    @property
    def sessions_held(self) -> int:
        """Number of sessions of which anything is held."""
        return sum(isinstance(value, Entry) for value in self._held.values())

    @property
    def bytes_held(self) -> int:
        """Bytes charged to the budget."""
        return int(self._held.currsize)

    def check(self) -> None:
        """Assert what always holds; tests call it after every step."""
        assert self._held.currsize <= self._config.near_cache_bytes, "over budget"
        for value in self._held.values():
            if isinstance(value, Entry) and value.ring is not None:
                value.ring.check()
                assert value.header is not None, "a ring without a header"
                assert value.ring.end == value.header.next, "ring and header disagree"

    # How it changes

    def _entry(self, key: SessionKey) -> Entry | None:
        entry = self._held.get(key)
        return entry if isinstance(entry, Entry) else None

    def _answers(self, entry: Entry, now: float) -> bool:
        """Whether the near cache may answer from this entry."""
        if not self._live(entry):
            return False
        if not self.lease.holds(now):
            self._counters.lapses += 1
            return False
        if now >= entry.deadline:
            self._step(entry, Event.DOUBT, "expired")
            return False
        return True

    def _live(self, entry: Entry) -> bool:
        """Bring the entry into this generation, and say whether it may answer."""
        if entry.generation != self.generation:
            entry.generation = self.generation
            self._step(entry, Event.LOST)
        return entry.state is State.LIVE

    def _step(self, entry: Entry, event: Event, reason: str = "") -> Effect:
        before = entry.state
        entry.state, effect = step(before, event)
        if entry.state is not before:
            if entry.state is State.SUSPECT and entry.header is not None:
                self._held.suspects[entry.key] = None
                if before is State.LIVE:
                    self._counters.suspects[reason] += 1
            else:
                self._held.suspects.pop(entry.key, None)
            if before in _AWAITED and entry.state not in _AWAITED:
                self.waiters.wake(entry.key)
        return effect

    @staticmethod
    def _reason(entry: Entry, event: Event, delta: Delta) -> str:
        """Say why a change makes suspect, if it does."""
        if event is not Event.GAP:
            return ""
        return interruption(entry.header, delta.previous_tag, delta.header, carries=delta.carries)

    def _apply(self, entry: Entry, delta: Delta, executed_after: float) -> None:
        entry.apply(delta, deadline_of(executed_after, delta.left_ms))
        self._counters.deltas += 1

    def _weigh(self, entry: Entry) -> None:
        """Charge what the entry costs now: cachetools asks for a size on insertion only."""
        del self._held[entry.key]
        if entry.cost <= self._config.near_cache_bytes:
            self._held[entry.key] = entry
        else:
            self._evicted(entry)

    def _evicted(self, value: Held) -> None:
        self._counters.evicted += 1
        if isinstance(value, Entry):
            self._retire(value)

    def _retire(self, entry: Entry) -> None:
        """Let an entry go for good: whoever still has it gets no answer, and keeps no data."""
        self._step(entry, Event.LOST)
        entry.let_go()
        self.waiters.wake(entry.key)
        self._close_channel(entry.key)

    def _close_channel(self, key: SessionKey) -> None:
        """Close a channel that nobody needs: a channel is open for what is held, or watched."""
        if key not in self._held and not self.waiters.watched(key):
            self._unsubscribe(key)
