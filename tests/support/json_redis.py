"""
A stand-in for a Redis with RedisJSON, which no package brings: it answers what reads, by RESP.

Example:
    async with JsonRedis() as redis:
        redis.documents["working_memory:s"] = b'{"session_id":"s"}'
        ...  # clients of redis.url
"""

import asyncio
import fnmatch
from collections.abc import Callable
from typing import Self

WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
SLICE = 100


class JsonRedis:
    """
    One server on loopback.

    Attributes:
        documents: key to JSON text, as JSON.GET answers it.
        strings: key to the value of a plain string.
        left_ms: key to what is left of its time to live.
        asked: the commands that came, without arguments.
        on_read: called with the key before each JSON.GET.
        on_get: called with the key before each GET.
    """

    def __init__(self, *, password: str = "") -> None:
        self.documents: dict[str, bytes] = {}
        self.strings: dict[str, bytes] = {}
        self.left_ms: dict[str, int] = {}
        self.asked: list[str] = []
        self.on_read: Callable[[str], None] = lambda _: None
        self.on_get: Callable[[str], None] = lambda _: None
        self.port = 0
        self._password = password
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it is, with its password."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        known = not self._password
        try:
            while line := await reader.readline():
                words = [await _word(reader) for _ in range(int(line[1:]))]
                name = words[0].decode().upper()
                self.asked.append(name)
                if name == "AUTH":
                    known = words[-1].decode() == self._password
                    writer.write(b"+OK\r\n" if known else b"-WRONGPASS invalid password\r\n")
                elif not known:
                    writer.write(b"-NOAUTH Authentication required.\r\n")
                else:
                    writer.write(self._answer(name, [word.decode() for word in words[1:]]))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    def _answer(self, name: str, words: list[str]) -> bytes:
        if name == "SCAN":
            return self._scan(int(words[0]), words[words.index("MATCH") + 1])
        key = words[0] if words else ""
        if name == "TYPE":
            held = {
                **dict.fromkeys(self.documents, "ReJSON-RL"),
                **dict.fromkeys(self.strings, "string"),
            }
            return f"+{held.get(key, 'none')}\r\n".encode()
        if name == "PTTL":
            there = key in self.documents or key in self.strings
            return f":{self.left_ms.get(key, -1) if there else -2}\r\n".encode()
        if name == "GET":
            self.on_get(key)
            return WRONG_TYPE if key in self.documents else _bulk(self.strings.get(key))
        if name == "JSON.GET" and words[1:] == ["."]:
            self.on_read(key)
            return WRONG_TYPE if key in self.strings else _bulk(self.documents.get(key))
        return f"-ERR unknown command '{name}'\r\n".encode()

    def _scan(self, cursor: int, pattern: str) -> bytes:
        keys = [*self.documents, *self.strings]
        some = keys[cursor : cursor + SLICE]
        # As a real one may while it resizes: the last of a slice comes again in the next.
        then = cursor + SLICE - 1 if cursor + SLICE < len(keys) else 0
        found = [key for key in some if fnmatch.fnmatchcase(key, pattern)]
        bulks = b"".join(_bulk(key.encode()) for key in found)
        return b"*2\r\n" + _bulk(str(then).encode()) + b"*%d\r\n" % len(found) + bulks


async def _word(reader: asyncio.StreamReader) -> bytes:
    size = int((await reader.readline())[1:])
    return (await reader.readexactly(size + 2))[:-2]


def _bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)
