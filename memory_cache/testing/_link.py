"""One subscription: what is on its way between the server and a worker's bus."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from memory_cache._ports import BusHandler
from memory_cache._types import SessionKey


@dataclass(slots=True)
class Faults:
    """What will happen to the next messages of a bus; see ``InMemoryBus``."""

    lose: int = 0
    double: int = 0
    swap: bool = False
    tear: int = 0
    held: bool = False
    kept_back: list["Told"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """What a subscription tells: a message, or a nonce (then there is no key)."""

    key: SessionKey | None
    payload: bytes = b""
    nonce: str = ""

    def tell(self, handler: BusHandler) -> None:
        """Hand it over."""
        if self.key is None:
            handler.nonce(self.nonce)
        else:
            handler.message(self.key, self.payload)


class Link:
    """
    A generation: requests on their way to the server, and what it tells on its way back.

    ``node``, ``replid``: of the server it was made to; after a failover they are not the
    server's any more, and nobody publishes here.
    """

    def __init__(self, node: int, replid: str, faults: Faults) -> None:
        """Subscribe to nothing."""
        self.node = node
        self.replid = replid
        self.ended: str | None = None
        self.silent = False
        self._faults = faults
        self._channels: set[SessionKey] = set()
        self._unconfirmed: dict[SessionKey, int] = {}
        self._wanted: set[SessionKey] = set()
        self._requests: deque[tuple[str, SessionKey]] = deque()
        self._inbox: deque[Told | SessionKey] = deque()
        self._wake = asyncio.Event()

    # The server's end

    def publish(self, key: SessionKey, payload: bytes) -> None:
        """Send a message, if the channel is open here."""
        if key not in self._channels or self.silent:
            return
        faults = self._faults
        if faults.tear and payload.endswith(b"}"):
            faults.tear -= 1
            payload = payload[:-1]
        told = Told(key, payload)
        if faults.lose:
            faults.lose -= 1
        elif faults.swap:
            faults.swap = False
            faults.kept_back.append(told)
        else:
            self._send(told)
            if faults.double:
                faults.double -= 1
                self._send(told)
            while faults.kept_back:
                self._send(faults.kept_back.pop())

    def publish_nonce(self, nonce: str) -> None:
        """Send a fence's nonce."""
        if not self.silent:
            self._send(Told(None, nonce=nonce))

    # The worker's end

    @property
    def idle(self) -> bool:
        """Whether everything published so far has been heard."""
        return self.ended is None and not (self.silent or self._inbox or self._faults.kept_back)

    def request(self, verb: str, key: SessionKey) -> None:
        """Send a SUBSCRIBE or an UNSUBSCRIBE."""
        if verb == "subscribe":
            self._wanted.add(key)
            self._unconfirmed[key] = self._unconfirmed.get(key, 0) + 1
        elif key in self._wanted:
            self._wanted.remove(key)
        else:
            return
        self._requests.append((verb, key))
        self._wake.set()

    def end(self, reason: str) -> None:
        """End the generation."""
        self.ended = self.ended or reason
        self._wake.set()

    def wake(self) -> None:
        """Look again whether anything may be delivered."""
        self._wake.set()

    async def serve(self, handler: BusHandler) -> str:
        """Deliver, one thing in a turn of the loop, until the generation ends; return why."""
        while self.ended is None:
            if self._faults.held or not self.deliver(handler):
                self._wake.clear()
                await self._wake.wait()
            await asyncio.sleep(0)
        return self.ended

    def deliver(self, handler: BusHandler) -> bool:
        """Let requests arrive at the server, or else one thing here; False: nothing is left."""
        if self._requests and not self.silent:
            while self._requests:
                self._serve_request(*self._requests.popleft())
            return True
        if not self._inbox:
            return False
        told = self._inbox.popleft()
        if isinstance(told, Told):
            if told.key is None or told.key in self._wanted:
                told.tell(handler)
        else:
            self._confirmed(told, handler)
        return True

    def _send(self, told: Told | SessionKey) -> None:
        self._inbox.append(told)
        self._wake.set()

    def _serve_request(self, verb: str, key: SessionKey) -> None:
        if verb == "subscribe":
            self._channels.add(key)
            self._send(key)
        else:
            self._channels.discard(key)

    def _confirmed(self, key: SessionKey, handler: BusHandler) -> None:
        self._unconfirmed[key] -= 1
        if not self._unconfirmed[key]:
            del self._unconfirmed[key]
            if key in self._wanted:
                handler.opened(key)
