"""A wire between clients and a store on a unix socket."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Self

CHUNK = 65536


class Wire:
    """
    Listens where a store is expected, inside its `async with`; a subclass says what goes through.

    ``_serve`` is called for each client. What it adds to ``_tasks`` is ended with the wire.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._folder = tempfile.TemporaryDirectory(prefix="mc-")
        self._path = Path(self._folder.name) / "s"
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._served, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """The address of the store, as seen through this."""
        return f"unix://{self._path}"

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let everything through, one way."""
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
