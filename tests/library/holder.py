"""A wire to a store that holds a request back, as a network may, and delivers it much later."""

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Self

from library.helpers import WAIT_SECONDS
from library.relay import CHUNK

STATUS = re.compile(rb"\r\n(late|done|replayed)\r\n")


class Holder:
    """
    Carries bytes between clients and a store on a unix socket, inside its `async with`.

    The next `hold` requests that hold the marker stay here, and their clients are cut off;
    `deliver` lets the store have them, and returns when it has answered each.
    """

    def __init__(self, target: Path, marker: bytes) -> None:
        self.hold = 0
        self._target = target
        self._marker = marker
        self._folder = tempfile.TemporaryDirectory(prefix="mc-")
        self._path = Path(self._folder.name) / "s"
        self._held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for held in self._held:
            held[1].close()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """The address of the store, as seen through this."""
        return f"unix://{self._path}"

    @property
    def held(self) -> int:
        """How many requests are held."""
        return len(self._held)

    async def deliver(self) -> list[str]:
        """Let the store have what is held; the status that its script answers each with."""
        statuses = []
        for reader, writer, request in self._held:
            writer.write(request)
            answer = b""
            while not (found := STATUS.search(answer)):
                answer += await asyncio.wait_for(reader.read(CHUNK), WAIT_SECONDS)
            statuses.append(found[1].decode())
        return statuses

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        answers, store = await asyncio.open_unix_connection(self._target)
        back = asyncio.create_task(_carry(answers, writer))
        request = b""
        try:
            while chunk := await reader.read(CHUNK):
                if self.hold and self._marker in chunk:
                    self.hold -= 1
                    request = chunk
                    break
                store.write(chunk)
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            writer.close()
            self._tasks.discard(task)
            if request:
                self._held.append((answers, store, request))
            else:
                store.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
