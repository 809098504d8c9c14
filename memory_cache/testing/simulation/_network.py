"""The network between a worker and the in-memory server: delays, and what gets lost."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from random import Random
from typing import Any, Final

from memory_cache._config import CacheConfig
from memory_cache._errors import Applied, CacheClosedError, StoreError, StoreTimeoutError
from memory_cache._ports import BusHandler, Outcome, Rewrite, Terms
from memory_cache._types import SessionKey, StoredMessage
from memory_cache.testing._gates import Gates
from memory_cache.testing._link import Faults, Link
from memory_cache.testing._server import InMemoryServer
from memory_cache.testing._store import InMemoryStore

CHANGES: Final = frozenset({"append", "rewrite", "delete"})
_MOST_PAST: Final = 32

Trace = Callable[..., None]


def chance(random: Random, probability: float) -> bool:
    """Draw whether something happens."""
    return random.random() < probability


class Wire(Gates):
    """
    One worker's way to the server: where gates stand each call takes time, and may meet a fate.

    ``requests``: fates of the calls to come, one each: ``refused``, ``lost``, ``late``,
    ``cut``.
    ``replies``: fates of the next replies: ``lost``, ``late``. ``down``: nothing gets through.
    ``scripts``: what the server has cached; a script it lost costs a round trip more.
    """

    def __init__(
        self, random: Random, config: CacheConfig, scripts: set[str], trace: Trace
    ) -> None:
        """Be up."""
        super().__init__()
        self._random = random
        self._config = config
        self._scripts = scripts
        self._trace = trace
        self._cuts = 0
        self._closed = False
        self.requests: deque[str] = deque()
        self.replies: deque[str] = deque()
        self.down = False
        self.no_subscription = False
        self.slowness = 1.0

    def delay(self) -> float:
        """Draw how long one way takes, in seconds; half of all times next to nothing."""
        if chance(self._random, 0.5):
            return 0.0
        scale = 0.08 if chance(self._random, 0.06) else 0.002
        return self._random.expovariate(1 / scale) * self.slowness

    def heads(self) -> bool:
        """Draw one of two."""
        return chance(self._random, 0.5)

    def cut(self) -> None:
        """Close the command connection: what is under way fails, and may have been done."""
        self._cuts += 1

    def shut(self) -> None:
        """Be the way of a cache that was closed: nothing more gets through."""
        self._closed = True

    async def reach(self, point: str) -> None:
        """Travel one way; see ``Gates``."""
        verb, _, done = point.partition(".")
        if self._closed and not done:
            raise CacheClosedError
        cuts = self._cuts
        lost = await (self._on_its_way_back(verb) if done else self._on_its_way(verb))
        await asyncio.sleep(self.delay())
        if lost or cuts != self._cuts or self.down or self._closed:
            self._trace(verb, "is lost", done or "before")
            applied: Applied = "unknown" if verb in CHANGES else "no"
            raise StoreError("the connection was closed", applied=applied)
        self._trace(verb, done or "arrives")

    async def _on_its_way_back(self, verb: str) -> bool:
        """Let a reply be late; return whether it gets lost."""
        if verb == "connect" or not self.replies:
            return False
        fate = self.replies.popleft()
        self._trace(verb, "reply", fate)
        if fate == "late":
            await asyncio.sleep(self._random.random() * self._config.staleness_seconds)
        return fate == "lost"

    async def _on_its_way(self, verb: str) -> bool:
        """Let a request meet its fate; return whether it gets lost with its connection."""
        if self.down or (verb == "connect" and self.no_subscription):
            raise StoreError("there is no connection")
        if verb in CHANGES and verb not in self._scripts:
            self._scripts.add(verb)
            await asyncio.sleep(self.delay() + self.delay())
        if verb == "connect" or not self.requests:
            return False
        fate = self.requests.popleft()
        self._trace(verb, fate)
        if fate == "refused":
            raise StoreError("refused")
        timeout = self._config.store_timeout_seconds
        if fate == "late":
            await asyncio.sleep(timeout * self._random.uniform(0.5, 2.5))
        elif fate == "lost":
            await asyncio.sleep(timeout)
            applied: Applied = "unknown" if verb in CHANGES else "no"
            raise StoreTimeoutError("no reply in time", applied=applied)
        return fate == "cut"


class WiredStore(InMemoryStore):
    """A store whose changes go on at the server's end when nobody waits for them any more."""

    def __init__(
        self, server: InMemoryServer, wire: Wire, config: CacheConfig, outside: Context
    ) -> None:
        """Let requests travel in the context ``outside``: they have left the process."""
        super().__init__(server, wire, config)
        self._outside = outside
        self._wire = wire
        self._timeout = config.store_timeout_seconds
        self.travelling: dict[asyncio.Task[Outcome], None] = {}

    async def aclose(self) -> None:
        """Let nothing more through; see the port."""
        self._wire.shut()

    async def append(
        self,
        key: SessionKey,
        messages: Sequence[StoredMessage],
        fields: bytes | None,
        terms: Terms,
    ) -> Outcome:
        """Add messages; see the port."""
        return await self._sent(super().append(key, messages, fields, terms))

    async def rewrite(
        self, key: SessionKey, change: Rewrite, fields: bytes | None, terms: Terms
    ) -> Outcome:
        """Edit; see the port."""
        return await self._sent(super().rewrite(key, change, fields, terms))

    async def delete(self, key: SessionKey, terms: Terms) -> Outcome:
        """Delete; see the port."""
        return await self._sent(super().delete(key, terms))

    async def _sent(self, call: Coroutine[Any, Any, Outcome]) -> Outcome:
        loop = asyncio.get_running_loop()
        task = loop.create_task(call, context=self._outside.copy())
        self.travelling[task] = None
        task.add_done_callback(self._arrived)
        done, _ = await asyncio.wait([task], timeout=self._timeout)
        if not done:
            raise StoreTimeoutError("no reply in time", applied="unknown")
        return task.result()

    def _arrived(self, task: asyncio.Task[Outcome]) -> None:
        del self.travelling[task]
        if not task.cancelled():
            task.exception()  # seen, should the caller be gone


class PacedLink(Link):
    """A subscription on which each thing takes its time, and whose past can be told again."""

    def __init__(
        self,
        node: int,
        replid: str,
        faults: Faults,
        wire: Wire,
        past: deque[tuple[SessionKey, bytes]],
    ) -> None:
        """Keep what is published in ``past``."""
        super().__init__(node, replid, faults)
        self._wire = wire
        self._past = past

    def publish(self, key: SessionKey, payload: bytes) -> None:
        """Send a message, if the channel is open here."""
        if len(self._past) == _MOST_PAST:
            self._past.popleft()
        self._past.append((key, payload))
        super().publish(key, payload)

    async def serve(self, handler: BusHandler) -> str:
        """Deliver, each thing after a delay, until the generation ends; return why."""
        while self.ended is None:
            await asyncio.sleep(self._wire.delay())
            if not self._step(handler):
                self._wake.clear()
                await self._wake.wait()
        return self.ended

    def _step(self, handler: BusHandler) -> bool:
        """Let one request arrive at the server, or one thing here; False: nothing may."""
        if self.ended is not None:
            return True
        may_ask = bool(self._requests) and not self.silent
        if may_ask and (self._faults.held or not self._inbox or self._wire.heads()):
            self._serve_request(*self._requests.popleft())
            return True
        if self._faults.held or not self._inbox:
            return False
        waiting, self._requests = self._requests, deque()
        self.deliver(handler)
        self._requests.extendleft(reversed(waiting))
        return True
