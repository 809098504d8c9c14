"""
The few words of RESP that the embedded Valkey is managed with.

The library's Redis client is not for this: it belongs to the transcripts, and this must
work while they cannot be served.
"""

import asyncio
from pathlib import Path
from typing import Self

ANSWER_SECONDS = 30.0

Reply = bytes | int | None | list["Reply"]


class RespError(Exception):
    """The server refused a command; its words, which begin with a code such as ``LOADING``."""


class RespConnection:
    """
    One connection to a server's unix socket, for one command at a time.

    Every method raises OSError, or EOFError, when the other side is gone or silent. A
    cancelled `command` leaves its answer unread: close the connection then.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Connect to the unix socket at ``path``."""
        return cls(*await asyncio.open_unix_connection(path))

    async def command(self, *words: str) -> Reply:
        """Send one command and read its answer; `RespError` if that is an error."""
        encoded = [b"$%d\r\n%b\r\n" % (len(word), word) for word in map(str.encode, words)]
        # In one write: since 3.12 `writelines` of asyncio does not look whether the connection has
        # been closed, and fails with no OSError.
        self._writer.write(b"".join([b"*%d\r\n" % len(words), *encoded]))
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._writer.drain()
            try:
                return await self._read()
            except (ValueError, asyncio.LimitOverrunError):
                raise ConnectionError("what answers does not speak as Redis does") from None

    async def config(self, *names: str) -> dict[str, str]:
        """Values of the server's configuration, by name."""
        reply = await self.command("CONFIG", "GET", *names)
        pairs = reply if isinstance(reply, list) else []
        words = [word.decode() for word in pairs if isinstance(word, bytes)]
        return dict(zip(words[::2], words[1::2], strict=True))

    async def info(self, section: str) -> dict[str, str]:
        """One section of what the server says about itself."""
        reply = await self.command("INFO", section)
        text = reply.decode() if isinstance(reply, bytes) else ""
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    async def closed(self) -> None:
        """Wait until the other side closes the connection, as it does by dying."""
        try:
            while await self._reader.read(1024):
                pass
        except OSError:
            return

    @property
    def ended(self) -> bool:
        """Whether the other side has closed the connection, as far as is known."""
        return self._reader.at_eof()

    def close(self) -> None:
        """Give the connection up."""
        self._writer.close()

    async def _read(self) -> Reply:
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RespError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        size = int(rest)
        if size < 0:
            return None
        if kind == b"*":
            return [await self._read() for _ in range(size)]
        return (await self._reader.readexactly(size + 2))[:-2]
