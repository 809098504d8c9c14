"""Words with the store that pass by no cache: for the levers, and to read what it holds."""

import asyncio
from pathlib import Path
from typing import Any, Final

import hiredis

_CHUNK: Final = 65536
_PATIENCE_SECONDS: Final = 2.0


class StoreRefusedError(Exception):
    """The store answered with an error; the text is its own."""


async def ask(
    place: int | Path,
    *commands: tuple[str | bytes | int, ...],
    patience: float = _PATIENCE_SECONDS,
) -> list[Any]:
    """
    Run commands over a connection of their own, and return the replies.

    ``place``: a port of loopback, or a unix socket.

    Raises:
        OSError, TimeoutError: the store does not answer.
        StoreRefusedError: it answered one of them with an error.
    """
    async with asyncio.timeout(patience):
        if isinstance(place, Path):
            reader, writer = await asyncio.open_unix_connection(place)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", place)
        try:
            for command in commands:
                writer.write(hiredis.pack_command(command))  # type: ignore[arg-type] # their stub says one item
            parser = hiredis.Reader(replyError=StoreRefusedError)
            replies: list[Any] = []
            while len(replies) < len(commands):
                data = await reader.read(_CHUNK)
                if not data:
                    raise ConnectionResetError
                parser.feed(data)
                while (reply := parser.gets()) is not False:
                    replies.append(reply)
        finally:
            writer.transport.abort()
    for reply in replies:
        if isinstance(reply, StoreRefusedError):
            raise reply
    return replies


async def info(port: int, section: str) -> dict[str, str]:
    """
    Return what INFO says of a section.

    Raises:
        OSError, TimeoutError, StoreRefusedError: as ``ask``.
    """
    [text] = await ask(port, ("INFO", section))
    pairs = (line.partition(":") for line in text.decode().splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}
