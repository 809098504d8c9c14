"""
A TCP proxy in this event loop, to break single connections between a client and a server.

Example:
    async with Proxy("127.0.0.1", server.port) as proxy:
        async with open_cache(proxy.url) as cache:
            ...
            for link in proxy.subscriptions:
                link.blackhole()
"""

import asyncio
import socket
import struct
from typing import Self

_CHUNK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: what is closed then sends a reset."""


class Link:
    """One connection through the proxy, and what it does to what comes along."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._client = client
        self._server = server
        self.swallows = False
        self.subscribes = False
        self.bytes_to_client = 0
        self.ended = asyncio.Event()

    def blackhole(self) -> None:
        """Swallow everything both ways from now on, the end of either side too."""
        self.swallows = True

    def reset(self) -> None:
        """End both sides by a reset."""
        for _, writer in (self._client, self._server):
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._abort()

    def close(self) -> None:
        """End both sides in the orderly way."""
        for _, writer in (self._client, self._server):
            writer.close()
        self.ended.set()

    async def run(self) -> None:
        """Carry bytes until one side ends, or until it is ended."""
        pumps = [
            asyncio.create_task(self._pump(self._client[0], self._server[1], up=True)),
            asyncio.create_task(self._pump(self._server[0], self._client[1], up=False)),
        ]
        ended = asyncio.create_task(self.ended.wait())
        await asyncio.wait([*pumps, ended], return_when=asyncio.FIRST_COMPLETED)
        if self.swallows:
            await ended
        for task in (*pumps, ended):
            task.cancel()
        await asyncio.gather(*pumps, ended, return_exceptions=True)
        self.ended.set()
        self._abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        while data := await reader.read(_CHUNK):
            if up:
                self.subscribes = self.subscribes or b"SUBSCRIBE" in data
            if self.swallows:
                continue
            if not up:
                self.bytes_to_client += len(data)
            writer.write(data)
            await writer.drain()

    def _abort(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()
        self.ended.set()


class Proxy:
    """Listens on a port of loopback inside its `async with`; new links go to `target`."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.admits = True
        self.links: list[Link] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._serving = 0
        self._idle = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        while self._serving:
            self._idle.clear()
            for link in self.links:
                link.ended.set()
            await self._idle.wait()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The address of the store behind it, as its clients see it."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def live(self) -> list[Link]:
        """The links that have not ended, oldest first."""
        return [link for link in self.links if not link.ended.is_set()]

    @property
    def subscriptions(self) -> list[Link]:
        """Those of them that a subscription runs over."""
        return [link for link in self.live if link.subscribes]

    @property
    def bytes_to_client(self) -> int:
        """Bytes that went to clients over links without a subscription, ever."""
        return sum(link.bytes_to_client for link in self.links if not link.subscribes)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving += 1
        try:
            if not self.admits:
                return
            server = await asyncio.open_connection(*self.target)
            link = Link((reader, writer), server)
            self.links.append(link)
            await link.run()
        except OSError:
            pass  # nobody listens there: the client sees its connection end
        finally:
            writer.transport.abort()
            self._serving -= 1
            self._idle.set()
