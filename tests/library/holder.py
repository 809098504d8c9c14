"""A wire to a store that holds a request back, as a network may, and delivers it much later."""

import asyncio
import re
from pathlib import Path

from library.helpers import WAIT_SECONDS
from library.wire import CHUNK, Wire, carry

STATUS = re.compile(rb"\r\n(late|done|replayed)\r\n")


class Holder(Wire):
    """
    Carries bytes between clients and a store on a unix socket, inside its `async with`.

    The next `hold` requests that hold the marker stay here, and their clients are cut off;
    `deliver` lets the store have them, and returns when it has answered each.
    """

    def __init__(self, target: Path, marker: bytes) -> None:
        super().__init__(target)
        self.hold = 0
        self._marker = marker
        self._held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]] = []

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        for held in self._held:
            held[1].close()

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
        answers, store = await asyncio.open_unix_connection(self._target)
        back = asyncio.create_task(carry(answers, writer))
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
            if request:
                self._held.append((answers, store, request))
            else:
                store.close()
