"""One worker's bus, and what may happen to what is on its way."""

import asyncio
from collections.abc import Callable
from typing import Final

from memory_cache._errors import StoreError
from memory_cache._ports import BusHandler, FenceReply
from memory_cache._types import SessionKey
from memory_cache.testing._gates import Gates
from memory_cache.testing._link import Faults, Link
from memory_cache.testing._server import InMemoryServer

_BACKOFF_SECONDS: Final = 0.02


class InMemoryBus:
    """
    Implements the ``Bus`` port: a queue of what the server tells this worker, in order.

    As on a network nothing is heard at once: ``run`` hands over one thing in a turn of the
    loop. ``hold`` delays everything until ``release`` (``deliver`` hands over by hand).
    ``cut`` and ``blackhole`` are what a network does. ``lose_next``, ``double_next`` and
    ``swap_next`` are what no TCP connection does: under them no promise about staleness can
    hold, but nothing torn or mixed may be served. ``tear_next`` damages what is heard, which is
    noticed, so every promise holds.
    """

    def __init__(
        self,
        server: InMemoryServer,
        gates: Gates,
        link: Callable[[int, str, Faults], Link] = Link,
    ) -> None:
        """
        Be one of the server's workers; nothing is connected before ``run``.

        ``link`` makes a generation's link, for a network of another pace.
        """
        self._server = server
        self._gates = gates
        self._make_link = link
        self._link: Link | None = None
        self._handler: BusHandler | None = None
        self._faults = Faults()
        self._epoch: str | None = None

    async def run(self, handler: BusHandler) -> None:
        """Connect, tell, reconnect; see the port. Passes the gate ``connect``."""
        while True:
            try:
                await self._gates.reach("connect")
            except StoreError:
                await asyncio.sleep(_BACKOFF_SECONDS)
                continue
            link = self._make_link(self._server.node, self._server.replid, self._faults)
            self._faults.kept_back.clear()
            self._link, self._handler = link, handler
            self._server.links.append(link)
            try:
                handler.connected()
                reason = await link.serve(handler)
            finally:
                self._link = self._handler = None
                self._server.links.remove(link)
            handler.lost(reason)

    def subscribe(self, key: SessionKey) -> None:
        """Send a SUBSCRIBE; see the port."""
        if self._link is not None:
            self._link.request("subscribe", key)

    def unsubscribe(self, key: SessionKey) -> None:
        """Send an UNSUBSCRIBE; see the port."""
        if self._link is not None:
            self._link.request("unsubscribe", key)

    def drop(self, reason: str) -> None:
        """End the generation; see the port."""
        if self._link is not None:
            self._link.end(reason)

    async def fence(self, nonce: str) -> None:
        """Publish a nonce to ourselves through the write path; see the port."""
        link = self._link
        if link is None:
            raise StoreError("there is no subscription")
        await self._gates.reach("fence")
        reply = self._server.fence(link, nonce)
        await self._gates.reach("fence.done")
        if link is not self._link or link.ended:
            raise StoreError("the subscription ended")
        doubt = self._doubt(link, reply)
        if doubt is not None:
            link.end(doubt)
            raise StoreError(doubt)

    def _doubt(self, link: Link, reply: FenceReply) -> str | None:
        """Say what is wrong with the node that answered a fence; None: nothing."""
        if reply.receivers < 1:
            return "nobody received the fence"
        if reply.replid != link.replid:
            return "the store's replication id changed"
        known, self._epoch = self._epoch, reply.epoch
        return None if known in {None, reply.epoch} else "the store was flushed"

    # Faults

    @property
    def caught_up(self) -> bool:
        """Whether this worker has heard everything from the very server that takes writes now."""
        link, server = self._link, self._server
        if link is None or link.node != server.node or self._epoch != server.epoch:
            return False
        return link.idle

    def inject(self, key: SessionKey, payload: bytes) -> None:
        """Let the worker hear what no server sent."""
        if self._link is not None:
            self._link.publish(key, payload)

    def cut(self) -> None:
        """Close the connection at the server's end."""
        self.drop("the connection was closed")

    def blackhole(self) -> None:
        """Lose everything from now on in this generation; nobody is told that it ended."""
        if self._link is not None:
            self._link.silent = True

    def hold(self) -> None:
        """Delay what is heard, and what is asked, until ``release``."""
        self._faults.held = True

    def release(self) -> None:
        """Go on after ``hold``."""
        self._faults.held = False
        if self._link is not None:
            self._link.wake()

    def deliver(self) -> bool:
        """Take one step by hand while held; False: nothing is on its way."""
        if self._link is None or self._handler is None:
            return False
        return self._link.deliver(self._handler)

    def lose_next(self, count: int = 1) -> None:
        """Lose the next messages published to this worker."""
        self._faults.lose += count

    def double_next(self, count: int = 1) -> None:
        """Deliver each of the next messages twice."""
        self._faults.double += count

    def tear_next(self, count: int = 1) -> None:
        """Cut the end off the next changes that bring messages or fields: no JSON is left of it."""
        self._faults.tear += count

    def swap_next(self) -> None:
        """Deliver the next message after the one that follows it."""
        self._faults.swap = True

    def heal(self) -> None:
        """Let nothing more happen to messages; one that was kept back is lost."""
        self._faults.lose = self._faults.double = self._faults.tear = 0
        self._faults.swap = False
        self._faults.kept_back.clear()
        self.release()
