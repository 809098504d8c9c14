"""
A TCP proxy in the driver's event loop: one for each worker, in front of the store.

It tells the bus (a connection that subscribes) from data, and has weather for each class and
direction. A closed end is carried like bytes: late, or not at all.
"""

import asyncio
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: what is closed then sends a reset."""

_CROWD_BYTES: Final = 256 * 1024
"""What may wait in one direction before the sender is no longer read."""


class Class(Enum):
    """What a connection carries."""

    DATA = "data"
    BUS = "bus"


class Direction(Enum):
    """Which way, as seen from the worker."""

    UP = "up"
    DOWN = "down"


@dataclass(slots=True)
class Weather:
    """
    What happens to bytes of one class in one direction.

    Attributes:
        delay, jitter: seconds each chunk is late, and at most so many more, in order.
        rate: bytes a second; 0: as fast as they come.
        holds: nothing passes; it does, in order, when this ends.
        swallows: what comes is gone, and so is the connection, though neither end is told.
    """

    delay: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    holds: bool = False
    swallows: bool = False


@dataclass(slots=True)
class Trap:
    """Waits for ``marker`` to go up on a data link; with the next bytes down, cuts it first."""

    marker: bytes
    sprung: Callable[[], None]


class _Way:
    """One direction of one link: what is on its way, and where it goes."""

    def __init__(self, link: "Link", direction: Direction) -> None:
        self._link = link
        self.direction = direction
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None
        self._queue: deque[tuple[float, bytes]] = deque()
        self._waiting = 0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_full = False

    def push(self, data: bytes) -> None:
        """Take a chunk; an empty one is the end."""
        loop = asyncio.get_running_loop()
        weather = self._link.weather(self.direction)
        if weather.swallows:
            self._link.is_torn = True
        if self._link.is_torn:
            return
        # Seeded weather is drawn by the nemesis; that of each chunk needs no repeating.
        late = weather.delay + random.uniform(0, weather.jitter)  # noqa: S311
        due = max(self._last, loop.time() + late)
        if weather.rate:
            due += len(data) / weather.rate
        self._last = due
        self._queue.append((due, data))
        self._waiting += len(data)
        self.pump()

    def hurry(self) -> None:
        """Forget how late things were to be: that weather is over."""
        self._queue = deque((0.0, data) for _, data in self._queue)
        self._last = 0.0
        self.pump()

    def full(self, *, is_full: bool) -> None:
        """Take note whether the sink takes more."""
        self._is_full = is_full
        self._pace()

    def pump(self) -> None:
        """Pass on what is due."""
        self._pass_on()
        self._pace()

    def _pass_on(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and self.sink is not None:
            if self._link.weather(self.direction).holds or self._link.is_torn:
                return
            due, data = self._queue[0]
            if due > loop.time():
                self._timer = loop.call_at(due, self.pump)
                return
            self._queue.popleft()
            self._waiting -= len(data)
            if not data:
                self._link.end()
            elif not self.sink.is_closing():
                self.sink.write(data)

    def _pace(self) -> None:
        if self.source is None or self.source.is_closing():
            return
        if self._is_full or self._waiting > _CROWD_BYTES:
            self.source.pause_reading()
        else:
            self.source.resume_reading()


class Link:
    """One connection of a worker through the proxy."""

    def __init__(self, proxy: "Proxy") -> None:
        """Both ends come with ``_End``."""
        self.proxy = proxy
        self.kind = Class.DATA
        self.is_torn = False
        self._is_over = False
        self._trap: Trap | None = None
        self._ways = {direction: _Way(self, direction) for direction in Direction}
        self._ends: list[asyncio.Transport] = []

    def weather(self, direction: Direction) -> Weather:
        """What this link meets in a direction."""
        return self.proxy.weather[self.kind, direction]

    def joined(self, end: asyncio.Transport, away: Direction) -> None:
        """Take one end: bytes that come from it go ``away``."""
        if self._is_over:
            end.abort()
            return
        self._ends.append(end)
        self._ways[away].source = end
        back = self._ways[Direction.DOWN if away is Direction.UP else Direction.UP]
        back.sink = end
        back.pump()

    def came(self, direction: Direction, data: bytes) -> None:
        """Take bytes from one end."""
        if direction is Direction.UP:
            if b"SUBSCRIBE\r\n" in data:
                self.kind = Class.BUS
            trap = self.proxy.trap
            if trap is not None and self.kind is Class.DATA and trap.marker in data:
                self._trap = trap
        else:
            if self.kind is Class.DATA:
                self.proxy.bytes_down += len(data)
            if self._trap is not None and self._trap is self.proxy.trap:
                self._trap.sprung()
                self.reset()
                return
        self._ways[direction].push(data)

    def closed(self, direction: Direction) -> None:
        """One end is gone: the other hears of it as it would of bytes."""
        self._ways[direction].push(b"")

    def end(self) -> None:
        """Close both ends in the orderly way."""
        self._over()
        for end in self._ends:
            end.close()

    def reset(self) -> None:
        """End both by a reset."""
        self._over()
        for end in self._ends:
            raw: socket.socket = end.get_extra_info("socket")
            if not end.is_closing():
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.abort()

    def hurry(self) -> None:
        """Look at the weather again."""
        for way in self._ways.values():
            way.hurry()

    def full(self, direction: Direction, *, is_full: bool) -> None:
        """Take note whether the end of a direction takes more."""
        self._ways[direction].full(is_full=is_full)

    def _over(self) -> None:
        self._is_over = True
        self.proxy.links.discard(self)


class _End(asyncio.Protocol):
    """One end of a link: bytes that come from it go ``away``."""

    def __init__(self, link: Link, away: Direction) -> None:
        self._link = link
        self._away = away
        self._back = Direction.DOWN if away is Direction.UP else Direction.UP

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._link.joined(transport, self._away)

    def data_received(self, data: bytes) -> None:
        self._link.came(self._away, data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._link.closed(self._away)

    def pause_writing(self) -> None:
        self._link.full(self._back, is_full=True)

    def resume_writing(self) -> None:
        self._link.full(self._back, is_full=False)


class Proxy:
    """Listens on a port of loopback between ``open`` and ``aclose``."""

    def __init__(self, target: int) -> None:
        """Carry new connections to the port ``target`` of loopback."""
        self.target = target
        self.port = 0
        self.links: set[Link] = set()
        self.trap: Trap | None = None
        self.bytes_down = 0
        self.weather = {(kind, way): Weather() for kind in Class for way in Direction}
        self._server: asyncio.Server | None = None
        self._dials: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """End everything."""
        assert self._server is not None
        self._server.close()
        for dial in self._dials:
            dial.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        for link in [*self.links]:
            link.reset()
        await asyncio.sleep(0)

    def of(self, *kinds: Class) -> list[Link]:
        """Return the living links of these classes."""
        return [link for link in self.links if link.kind in kinds]

    def changed(self) -> None:
        """Tell the links that the weather has changed."""
        for link in [*self.links]:
            link.hurry()

    def _accepted(self) -> _End:
        link = Link(self)
        self.links.add(link)
        dial = asyncio.create_task(self._dial(link))
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)
        return _End(link, Direction.UP)

    async def _dial(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(
                lambda: _End(link, Direction.DOWN), "127.0.0.1", self.target
            )
        except OSError:
            link.reset()  # nobody listens there
