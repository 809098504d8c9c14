"""A reader of server-sent events over HTTP that comes back when it is cut off, as browsers do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

RETRY_SECONDS = 0.05
WAIT_SECONDS = 20.0


class Told(NamedTuple):
    """One event, as it was sent."""

    id: str
    kind: str
    data: dict[str, Any]


class Reader:
    """What one client was told, over all its connections."""

    def __init__(self, url: str, path: str, last_id: str | None = None) -> None:
        self.told: list[Told] = []
        self.connections = 0
        self.last_id = last_id
        self._address = urlsplit(url)
        self._path = path

    async def follow(self) -> None:
        """Read for ever: whenever the connection ends, go on after the last event."""
        while True:
            try:
                async for event in self.events():
                    self.told.append(event)
            except (OSError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(RETRY_SECONDS)

    async def events(self) -> AsyncIterator[Told]:
        """Read one answer to its end; `OSError`, `IncompleteReadError`: it was cut off."""
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        try:
            resume = "" if self.last_id is None else f"Last-Event-ID: {self.last_id}\r\n"
            request = f"GET {self._path} HTTP/1.1\r\nHost: test\r\n{resume}\r\n"
            writer.write(request.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            self.connections += 1
            text = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                text += (await reader.readexactly(size + 2))[:-2]
                *blocks, text = text.split(b"\n\n")
                for event in filter(None, map(_event, blocks)):
                    self.last_id = event.id
                    yield event
        finally:
            writer.close()

    async def until(self, fact: Callable[[list[Told]], bool]) -> None:
        """Wait for a fact of what was told."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not fact(self.told):  # noqa: ASYNC110  the reader has no event for it
                await asyncio.sleep(0.01)

    @property
    def seqs(self) -> list[int]:
        """The seqs of the messages it was told."""
        return [event.data["seq"] for event in self.told if event.kind == "message"]


def _event(block: bytes) -> Told | None:
    """Read one block; None: it is a comment, or says when to come back."""
    pairs = (line.partition(": ") for line in block.decode().split("\n"))
    fields = {name: value for name, _, value in pairs if name}
    if "event" not in fields:
        return None
    return Told(fields["id"], fields["event"], json.loads(fields["data"]))
