"""A wire to a store on which answers can get lost after the store has given them."""

import asyncio
import tempfile
from pathlib import Path
from typing import Self

CHUNK = 65536


class Relay:
    """
    Carries bytes between clients and a store on a unix socket, inside its `async with`.

    The next `lose` answers that hold one of the markers do not arrive: the connection ends.
    """

    def __init__(self, target: Path, *markers: bytes) -> None:
        self.lose = 0
        self._target = target
        self._markers = markers
        self._folder = tempfile.TemporaryDirectory(prefix="mc-")
        self._path = Path(self._folder.name) / "s"
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """The address of the store, as seen through the relay."""
        return f"unix://{self._path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        their_reader, their_writer = await asyncio.open_unix_connection(self._target)
        ways = [
            asyncio.create_task(_carry(reader, their_writer)),
            asyncio.create_task(self._answer(their_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            writer.close()
            their_writer.close()
            self._tasks.discard(task)
            for way in ways:
                way.cancel()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            if self.lose and any(marker in chunk for marker in self._markers):
                self.lose -= 1
                return
            writer.write(chunk)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
