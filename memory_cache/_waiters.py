"""Who waits for something to come out of the bus: writers for their change, followers for any."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from memory_cache._types import Header, SessionKey, Version


class Watch:
    """
    What one follower was told since it last looked.

    It keeps that something was told, not what: however slowly one reads, nothing piles up.
    """

    __slots__ = ("_asleep", "closed", "doubted", "heard", "opened")

    def __init__(self, *, opened: bool, closed: bool) -> None:
        """Nothing was told yet; ``opened``, ``closed``: as the attributes."""
        # A change was heard, or it may have been missed.
        self.heard = False
        # What was held of the session was let go, or is in doubt.
        self.doubted = False
        # Every change is heard, for the channel was confirmed in this generation.
        self.opened = opened
        # The cache was closed.
        self.closed = closed
        self._asleep: asyncio.Future[None] | None = None

    def look(self) -> None:
        """Forget what was told: it is in what is read from now on."""
        self.heard = self.doubted = False

    async def told(self, seconds: float) -> bool:
        """Wait until something was told since one looked; False: not for so many seconds."""
        if self._anything():
            return True
        loop = asyncio.get_running_loop()
        self._asleep = loop.create_future()
        timer = None if seconds == float("inf") else loop.call_later(seconds, self._wake)
        try:
            await self._asleep
        finally:
            self._asleep = None
            if timer is not None:
                timer.cancel()
        return self._anything()

    def tell(self, *, heard: bool) -> None:
        """Tell of a change, or of a doubt."""
        self.heard |= heard
        self.doubted |= not heard
        self._wake()

    def _anything(self) -> bool:
        return self.heard or self.doubted or self.closed

    def _wake(self) -> None:
        if self._asleep is not None and not self._asleep.done():
            self._asleep.set_result(None)


class Waiters:
    """Futures by session and version, each forgotten when it is done; and watches."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiting: dict[SessionKey, list[tuple[Version, asyncio.Future[None]]]] = {}
        self._watches: dict[SessionKey, dict[Watch, None]] = {}
        self._closed = False

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def wait(self, key: SessionKey, version: Version) -> asyncio.Future[None]:
        """Return what is done when this version, or the end of all waiting, is told of."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append((version, future))
        future.add_done_callback(lambda _: self._settled(key))
        return future

    def wake(self, key: SessionKey, header: Header | None = None) -> None:
        """Wake those who wait for this state or an ancestor (None: all of the session's)."""
        for wanted, future in self._waiting.get(key, ()):
            # Not by number: after a failover another change may have the same one.
            if not future.done() and (header is None or header.holds(wanted)):
                future.set_result(None)
        for watch in self._watches.get(key, ()):
            watch.tell(heard=header is not None)

    def wake_all(self) -> None:
        """Wake everybody: the generation ended, and no channel is open."""
        for key in self._waiting:
            self.wake(key)
        for watch in self._all_watches():
            watch.opened = False
            watch.tell(heard=True)

    @contextmanager
    def watch(self, key: SessionKey) -> Iterator[Watch]:
        """Give a watch of a session until the block ends; its channel stays open for so long."""
        watches = self._watches.setdefault(key, {})
        watch = Watch(opened=any(other.opened for other in watches), closed=self._closed)
        watches[watch] = None
        try:
            yield watch
        finally:
            del watches[watch]
            if not watches:
                del self._watches[key]

    def watched(self, key: SessionKey) -> bool:
        """Whether somebody watches a session."""
        return key in self._watches

    def opened(self, key: SessionKey) -> None:
        """Note that the last SUBSCRIBE for a session was confirmed."""
        for watch in self._watches.get(key, ()):
            if not watch.opened:
                watch.opened = True
                watch.tell(heard=True)

    def close(self) -> None:
        """Tell all who watch, and will, that nothing more is heard."""
        self._closed = True
        for watch in self._all_watches():
            watch.closed = True
            watch.tell(heard=True)

    def _all_watches(self) -> Iterator[Watch]:
        return (watch for watches in self._watches.values() for watch in watches)

    def _settled(self, key: SessionKey) -> None:
        waiting = [each for each in self._waiting.pop(key, ()) if not each[1].done()]
        if waiting:
            self._waiting[key] = waiting
