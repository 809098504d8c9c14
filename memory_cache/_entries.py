"""One hot session as the near cache holds it, and the byte budget over all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cachetools import Cache

from memory_cache._blocks import Block
from memory_cache._coherence import State
from memory_cache._delta import Delta
from memory_cache._names import encode_key, names_cost, text_cost
from memory_cache._order import latest
from memory_cache._page import Page
from memory_cache._ports import FOREVER, Have, Span
from memory_cache._ring import Ring, Slot, message_cost
from memory_cache._types import Header, SessionKey, StoredMessage, Tier, Version

ENTRY_COST: Final = 1792
"""Bytes charged for an entry beside its names, its messages and its fields."""

DELTA_COST: Final = 1024
"""Bytes charged for a change that is kept during a load, beside its messages and fields."""


class Ask(NamedTuple):
    """Which messages a read is about: the newest ``messages`` by seq, or by created_at."""

    messages: int
    by_created_at: bool = False


class Entry:
    """One hot session: what is held of it, and what is known of that."""

    __slots__ = (
        "answered",
        "deadline",
        "fields",
        "generation",
        "header",
        "kept",
        "kept_cost",
        "key",
        "names_cost",
        "ring",
        "serial",
        "state",
        "used",
    )

    def __init__(self, key: SessionKey, generation: int) -> None:
        """Make an entry that holds nothing."""
        self.key = key
        self.state = State.COLD
        self.generation = generation
        self.serial = 0
        self.header: Header | None = None
        self.fields = b"{}"
        self.ring: Ring | None = None
        self.deadline = float("inf")
        self.kept: list[Delta] = []
        self.kept_cost = 0
        # Of the channel's name, too, which is open for as long as the entry is held.
        self.names_cost = names_cost(key) + text_cost(encode_key(key))
        # The last page given out. It is right for as long as it has this very header.
        self.answered: tuple[Ask, Page] | None = None
        # It has answered since the budget last looked.
        self.used = False

    @property
    def cost(self) -> int:
        """Bytes charged to the budget."""
        held = self.ring.cost if self.ring else 0
        return ENTRY_COST + self.names_cost + len(self.fields) + held + self.kept_cost

    # Its changes. None of them can fail.

    def install(
        self, span: Span, views: Sequence[bytes], fields: bytes, deadline: float, fresh: Ring
    ) -> bool:
        """
        Hold a snapshot, on top of what is held if it continues that (True), else in its place.

        ``views``: of the messages of the snapshot. ``fresh``: an empty ring that begins with it.
        """
        continues = (
            self.header is not None
            and self.ring is not None
            and span.header.edits == self.header.edits
            and span.header.holds(self.header.version)
            and span.start <= self.ring.end <= span.header.next
        )
        ring = self.ring if continues and self.ring is not None else fresh
        known = ring.end - span.start
        ring.push(span.messages[known:], views[known:])
        self.ring, self.header, self.answered = ring, span.header, None
        self.fields, self.deadline = fields, deadline
        return continues

    def apply(self, delta: Delta, deadline: float) -> None:
        """Hold a change that continues what is held."""
        assert self.ring is not None, "a delta applies to a ring"
        assert delta.messages is not None, "only a delta that carries its messages is next"
        self.ring.push(delta.messages, delta.views)
        self.header, self.answered = delta.header, None
        if delta.fields is not None:
            self.fields = delta.fields
        self.deadline = deadline

    def keep(self, delta: Delta) -> None:
        """Keep a change until the snapshot is in."""
        self.kept.append(delta)
        pairs = zip(delta.messages or (), delta.views, strict=True)
        messages = sum(message_cost(message.body, view) for message, view in pairs)
        self.kept_cost += DELTA_COST + len(delta.fields or b"") + messages

    def forget_kept(self) -> None:
        """Keep no changes any more."""
        self.kept, self.kept_cost = [], 0

    def let_go(self) -> None:
        """Hold nothing any more: whoever still has the entry holds no data by it."""
        self.header = self.ring = self.answered = None
        self.fields = b"{}"
        self.forget_kept()


@dataclass(frozen=True, slots=True)
class Load:
    """A fetch on its way: for which entry, and begun in which generation and load of it."""

    entry: Entry
    generation: int
    serial: int
    have: Have | None
    fields: bytes


BlockKey = tuple[SessionKey, str, int, int]


@dataclass(slots=True)
class HeldBlock:
    """
    A sealed block, and a version that it is part of: another history may have another one.

    ``names``: bytes that the session's name takes.
    """

    block: Block
    version: Version
    names: int
    used: bool = False


Held = Entry | HeldBlock


class Budget(Cache[SessionKey | BlockKey, Held]):
    """
    Suspects make room first, then by the clock algorithm (Corbato, 1968; "second chance").

    What has answered since the hand last came by is passed over once. So an answer costs the
    budget one flag, where the order of least use would be a tenth of a hot read.
    """

    def __init__(self, budget: int, evicted: Callable[[Held], None]) -> None:
        super().__init__(budget, getsizeof=cost)
        self._evicted = evicted
        self.suspects: dict[SessionKey, None] = {}

    def popitem(self) -> tuple[SessionKey | BlockKey, Held]:
        # The one that is being weighed is a suspect, perhaps, and not in at this moment.
        suspect = next((key for key in self.suspects if key in self), None)
        key = self._hand() if suspect is None else suspect
        value = self.pop(key)
        self._evicted(value)
        return key, value

    def _hand(self) -> SessionKey | BlockKey:
        """Return the oldest that has not answered lately; who has goes to the end of the line."""
        while True:
            key: SessionKey | BlockKey = next(iter(self))
            value = self[key]
            if not value.used:
                return key
            value.used = False
            del self[key]
            self[key] = value


class SealedBlocks:
    """
    Sealed blocks, out of the same budget as the sessions.

    Within one (inc, edits) a block never changes, but for a failover or a crash that lost
    the messages it was sealed with: then another may have taken its place.
    """

    def __init__(self, held: Budget) -> None:
        self._held = held

    def get(self, key: SessionKey, header: Header, number: int) -> Block | None:
        """Return a block of this header's history."""
        held = self._held.get((key, header.inc, header.edits, number))
        if not isinstance(held, HeldBlock) or not header.holds(held.version):
            return None
        held.used = True
        return held.block

    def keep(self, key: SessionKey, header: Header, blocks: Mapping[int, Block]) -> None:
        """Keep blocks of this header's history, each if it is worth its place."""
        version, names, most = header.version, names_cost(key), self._held.maxsize // 8
        for number, block in blocks.items():
            held = HeldBlock(block, version, names)
            if cost(held) <= most:
                self._held[key, header.inc, header.edits, number] = held


def cost(value: Held) -> int:
    """Return the bytes charged for what is held."""
    if isinstance(value, Entry):
        return value.cost
    return ENTRY_COST + value.names + len(value.block.bodies) + len(value.block.sidecar)


def deadline_of(executed_after: float, left_ms: int) -> float:
    """Return a time that the store's own deadline is not before; it counts whole milliseconds."""
    return float("inf") if left_ms == FOREVER else executed_after + (left_ms - 1) / 1000


def page_of(entry: Entry, ask: Ask, tier: Tier) -> Page | None:
    """Return the messages asked for; None if the ring does not reach back far enough."""
    ring, header = entry.ring, entry.header
    if ring is None or header is None:
        return None
    start = max(header.first, header.next - ask.messages)
    if start < ring.start:
        return None
    if ask.by_created_at and not ring.ordered(start):
        slots = _by_time(ring, ask.messages, complete=ring.start == header.first)
        if slots is None:
            return None
    else:
        slots = ring.last(header.next - start)
    bodies, views, metas = zip(*slots, strict=True) if slots else ((), (), ())
    if bodies == views:
        views = bodies  # one tuple less to keep
    return Page(entry.key, start, header.next, bodies, views, metas, header, entry.fields, tier)


def _by_time(ring: Ring, count: int, *, complete: bool) -> list[Slot] | None:
    slots = ring.last(ring.end - ring.start)
    messages = [StoredMessage(slot.body, slot.meta) for slot in slots]
    chosen = latest(messages, count, ring.max_before, complete=complete)
    return None if chosen is None else [slots[at] for at in chosen]
