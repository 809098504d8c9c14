"""A wire to a store on which answers can get lost after the store has given them."""

import asyncio
from pathlib import Path

from library.wire import CHUNK, Wire, carry


class Relay(Wire):
    """
    Carries bytes between clients and a store on a unix socket, inside its `async with`.

    The next `lose` answers that hold one of the markers do not arrive: the connection ends.
    """

    def __init__(self, target: Path, *markers: bytes) -> None:
        super().__init__(target)
        self.lose = 0
        self._markers = markers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, store = await asyncio.open_unix_connection(self._target)
        ways = [
            asyncio.create_task(carry(reader, store)),
            asyncio.create_task(self._answer(answers, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            store.close()
            for way in ways:
                way.cancel()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            if self.lose and any(marker in chunk for marker in self._markers):
                self.lose -= 1
                return
            writer.write(chunk)
