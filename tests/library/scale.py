"""A wire to a store on which everything is weighed, and may be held up or cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import hiredis

from library.wire import CHUNK, Wire


class Scale(Wire):
    """
    Weighs what goes between a cache and a store on a unix socket, inside its `async with`.

    `on_slice` is awaited before each command of more than `least` bytes goes on to the store;
    its argument is the number of such commands so far. With `cut` set the connection ends there.
    """

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        self.heaviest = 0
        self.heaviest_answer = 0
        self.least = 65536
        self.slices = 0
        self.cut = False
        self.on_slice: Callable[[int], Awaitable[object]] | None = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
            store.close()

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
