"""
The ring: the newest messages of one hot session, in a fixed number of slots.

The seq is the address and the slot is arithmetic, so there are no two pointers that could
disagree. Not safe for use by several threads.
"""

from collections.abc import Iterable
from typing import NamedTuple

from memory_cache._types import Meta, StoredMessage

MESSAGE_COST = 272
"""
Bytes charged for a message beside its own: what Python needs to hold it.

Its slot and what is known of it, two places for it in the ring, and three in the page that was
given out last.
"""

VIEW_COST = 144
"""Bytes charged for a view that is not the message itself, beside its own: and for its id."""

_FEWEST = 8
"""Slots of a ring at first: most sessions are short."""


class Slot(NamedTuple):
    """A message in a ring: its stored bytes, its contract view (often the same), its meta."""

    body: bytes
    view: bytes
    meta: Meta


class Ring:
    """
    Holds messages ``[start, end)`` of a transcript; a push overwrites the oldest.

    It has ``capacity`` slots, but takes them only as it fills: each time twice as many.

    ``max_before``: the largest created_at of all messages before ``start``.
    """

    __slots__ = (
        "_bytes",
        "_capacity",
        "_disorder",
        "_end",
        "_max_bytes",
        "_newest",
        "_slots",
        "_start",
        "max_before",
    )

    def __init__(self, start: int, max_before: int, *, capacity: int, max_bytes: int) -> None:
        """Make an empty ring that will begin at seq ``start``."""
        self._capacity = capacity
        self._slots: list[Slot | None] = [None] * min(_FEWEST, capacity)
        self._start = self._end = start
        self._max_bytes = max_bytes
        self._bytes = 0
        self._newest = self.max_before = max_before
        self._disorder = start - 1

    @property
    def start(self) -> int:
        """The seq of the oldest message held."""
        return self._start

    @property
    def end(self) -> int:
        """One past the seq of the newest message held."""
        return self._end

    @property
    def cost(self) -> int:
        """Bytes of the messages, views included, and a fixed charge for each."""
        return self._bytes

    def push(self, messages: Iterable[StoredMessage], views: Iterable[bytes]) -> None:
        """Add messages at the end; the oldest go where slots or bytes run out."""
        for (body, meta), view in zip(messages, views, strict=True):
            if self._end - self._start == len(self._slots):
                self._make_room()
            self._slots[self._end % len(self._slots)] = Slot(body, view, meta)
            self._bytes += message_cost(body, view)
            if meta.created_at < self._newest:
                self._disorder = self._end
            self._newest = max(self._newest, meta.created_at)
            self._end += 1
        while self._bytes > self._max_bytes and self._end - self._start > 1:
            self._drop_oldest()

    def last(self, count: int) -> list[Slot]:
        """Return the newest ``count`` messages, oldest first; fewer if fewer are held."""
        count = min(count, self._end - self._start)
        if count == 0:
            return []
        size = len(self._slots)
        low, high = (self._end - count) % size, self._end % size
        if low < high:
            return self._slots[low:high]  # type: ignore[return-value] # [start, end) is filled
        return self._slots[low:] + self._slots[:high]  # type: ignore[return-value] # as above

    def ordered(self, start: int) -> bool:
        """Whether from ``start`` on created_at never goes back, counting all that came before."""
        return start > self._disorder

    def check(self) -> None:
        """Assert what always holds; tests call it after every step."""
        held = self.last(self._end - self._start)
        assert all(slot is not None for slot in held), "a slot in the range is empty"
        assert self._bytes == sum(message_cost(slot.body, slot.view) for slot in held), (
            "bytes drifted"
        )
        assert 0 <= self._end - self._start <= len(self._slots), "range over capacity"

    def _make_room(self) -> None:
        if len(self._slots) == self._capacity:
            self._drop_oldest()
            return
        held = self.last(self._end - self._start)
        size = min(2 * len(self._slots), self._capacity)
        self._slots = [None] * size
        for seq, slot in enumerate(held, self._start):
            self._slots[seq % size] = slot

    def _drop_oldest(self) -> None:
        at = self._start % len(self._slots)
        oldest = self._slots[at]
        assert oldest is not None, "the oldest slot is filled"
        self._bytes -= message_cost(oldest.body, oldest.view)
        self.max_before = max(self.max_before, oldest.meta.created_at)
        self._slots[at] = None
        self._start += 1


def message_cost(body: bytes, view: bytes) -> int:
    """Return the bytes charged for a message and its view."""
    return MESSAGE_COST + len(body) + (0 if view is body else VIEW_COST + len(view))
