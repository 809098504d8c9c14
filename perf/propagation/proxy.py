"""A proxy between one worker and the store, to break its subscription."""

import asyncio
import socket
import struct
from typing import Self

_CHUNK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: what is closed then sends a reset."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """One connection through the proxy."""

    def __init__(self, client: Stream, server: Stream) -> None:
        """Carry nothing yet."""
        self._client, self._server = client, server
        self._ended = asyncio.Event()
        self.silent = False
        self.subscribes = False

    @property
    def live(self) -> bool:
        """Whether it carries, or seems to."""
        return not self._ended.is_set()

    def close(self) -> None:
        """End it; if it was silent, too."""
        self._ended.set()

    def reset(self) -> None:
        """End it by a reset, as a machine does that has forgotten the connection."""
        raw: socket.socket = self._client[1].get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._ended.set()

    async def run(self) -> None:
        """Carry bytes until a side ends; from one that is silent no end is heard."""
        ways = ((self._client[0], self._server[1]), (self._server[0], self._client[1]))
        pumps = [asyncio.create_task(self._pump(*way)) for way in ways]
        try:
            await self._ended.wait()
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for _, writer in (self._client, self._server):
                writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK):
                self.subscribes = self.subscribes or b"SUBSCRIBE" in data
                if not self.silent:
                    writer.write(data)
        finally:
            if not self.silent:
                self._ended.set()


class Proxy:
    """Listens on a port of loopback inside its ``async with``, in front of a unix socket."""

    def __init__(self, path: str) -> None:
        """Admit everybody."""
        self._path = path
        self._links: list[Link] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.admits = True

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for link in self._links:
            link.close()
        await asyncio.gather(*self._tasks)

    @property
    def url(self) -> str:
        """The address of the store behind it."""
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def subscription(self) -> Link:
        """
        Return the newest link that a subscription runs over.

        Raises:
            IndexError: there is none.
        """
        self._links = [link for link in self._links if link.live]
        return [link for link in self._links if link.subscribes][-1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio runs it in a task"
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not self.admits:
            writer.transport.abort()
            return
        link = Link((reader, writer), await asyncio.open_unix_connection(self._path))
        self._links.append(link)
        await link.run()
