"""A wire to a store on which everything is weighed, and may be held up or cut."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import hiredis

from library.relay import CHUNK


class Scale:
    """
    Weighs what goes between a cache and a store on a unix socket, inside its `async with`.

    `on_slice` is awaited before each command of more than `least` bytes goes on to the store;
    its argument is the number of such commands so far. With `cut` set the connection ends there.
    """

    def __init__(self, target: Path) -> None:
        self.heaviest = 0
        self.heaviest_answer = 0
        self.least = 65536
        self.slices = 0
        self.cut = False
        self.on_slice: Callable[[int], Awaitable[object]] | None = None
        self._target = target
        self._folder = tempfile.TemporaryDirectory(prefix="mc-")
        self._path = Path(self._folder.name) / "s"
        self._tasks: set[asyncio.Task[Any]] = set()

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
        """The address of the store, as seen through this."""
        return f"unix://{self._path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        theirs, store = await asyncio.open_unix_connection(self._target)
        ways = [
            asyncio.create_task(self._there(reader, store)),
            asyncio.create_task(self._back(theirs, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.close()
            store.close()
            self._tasks.discard(task)

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for command in _items(reader):
            weight = _weight(command)
            self.heaviest = max(self.heaviest, weight)
            if weight > self.least:
                self.slices += 1
                if self.on_slice is not None:
                    await self.on_slice(self.slices)
            if self.cut:
                self.cut = False
                return
            packed = hiredis.pack_command(tuple(command))  # type: ignore[arg-type] # their stub says one item
            writer.write(packed)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = hiredis.Reader()
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            answers.feed(chunk)
            while (answer := answers.gets()) is not False:
                self.heaviest_answer = max(self.heaviest_answer, _weight(answer))


async def _items(reader: asyncio.StreamReader) -> AsyncIterator[list[bytes]]:
    parser = hiredis.Reader()
    while chunk := await reader.read(CHUNK):
        parser.feed(chunk)
        while (item := parser.gets()) is not False:
            assert isinstance(item, list)
            yield item


def _weight(item: object) -> int:
    if isinstance(item, list):
        return sum(map(_weight, item))
    return len(item) if isinstance(item, bytes) else 0
