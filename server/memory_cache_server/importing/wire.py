"""
The Redis that is read from.

Commands that would change it cannot be sent. It is not the library's client, which belongs to
the store that is written to.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from memory_cache import open_cache
from memory_cache_server.importing.found import SourceError
from memory_cache_server.resp import Reply, RespConnection, RespError

SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")

CONNECT_SECONDS: Final = 10.0

WRONG_TYPE: Final = "WRONGTYPE"

_READS: Final = frozenset(
    {"AUTH", "SELECT", "PING", "SCAN", "TYPE", "PTTL", "GET", "JSON.GET", "LLEN", "LRANGE"}
    | {"WATCH", "MULTI", "EXEC"}  # these only notice changes: nothing is sent in between
)
_TLS: Final = frozenset(
    {"ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_keyfile", "ssl_password"}
)
_SCAN_COUNT: Final = "500"
_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is, and as whom; its text has no password."""

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None
    user: str
    password: str = field(repr=False)
    database: int

    @classmethod
    def parse(cls, url: str) -> Self:
        """
        Read a Redis URL.

        Raises:
            SourceError: it is not one, or asks for what is not understood here.
        """
        try:
            open_cache(url)  # nothing is connected before it is entered
        except ValueError as error:
            raise SourceError(f"the source cannot be read from: {error}") from None
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        path, database = unquote(parts.path), query.get("db")
        if parts.scheme != "unix":
            path, database = "", database or parts.path.strip("/")
        return cls(
            host=unquote(parts.hostname or "localhost"),
            port=parts.port or _PORT,
            path=path,
            tls=_tls(query) if parts.scheme in {"rediss", "valkeys"} else None,
            user=query.get("username", unquote(parts.username or "")),
            password=query.get("password", unquote(parts.password or "")),
            database=int(database or 0),
        )

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    async def connect(self) -> RespConnection:
        """Connect and log in; raises OSError, EOFError or RespError."""
        async with asyncio.timeout(CONNECT_SECONDS):
            if self.path:
                connection = await RespConnection.open(Path(self.path))
            else:
                streams = await asyncio.open_connection(self.host, self.port, ssl=self.tls)
                connection = RespConnection(*streams)
        try:
            if self.password:
                await self._log_in(connection)
            if self.database:
                await connection.command("SELECT", str(self.database))
        except BaseException:
            connection.close()
            raise
        return connection

    async def _log_in(self, connection: RespConnection) -> None:
        try:
            await connection.command("AUTH", *filter(None, (self.user, self.password)))
        except RespError as error:
            # By its first word: the rest may repeat the password, where AUTH is not known.
            raise RespError(f"the login failed ({str(error).split(' ', 1)[0]})") from None


class Reader:
    """One connection, for one task at a time."""

    def __init__(self, connection: RespConnection) -> None:
        self._connection = connection

    async def command(self, *words: str) -> Reply:
        """Send a command that only reads; raises `RespError`, OSError or EOFError."""
        if words[0] not in _READS:
            raise AssertionError(f"{words[0]} is not one of the commands that only read")
        return await self._connection.command(*words)

    async def text(self, *words: str) -> str:
        """Return the answer of a command that answers a word."""
        reply = await self.command(*words)
        return reply.decode(errors="replace") if isinstance(reply, bytes) else ""

    async def number(self, *words: str) -> int:
        """Return the answer of a command that answers a number."""
        reply = await self.command(*words)
        return reply if isinstance(reply, int) else 0


class SourceRedis:
    """Connections to one Redis, made as they are needed and used again."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._free: list[RespConnection] = []

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """
        Lend a connection; it is given up if the block fails, and lent again if not.

        Raises:
            SourceError: the source does not answer, or refuses.
        """
        connection: RespConnection | None = None
        try:
            connection = self._unused() or await self._address.connect()
            yield Reader(connection)
            self._free.append(connection)
            connection = None
        except RespError as error:
            raise SourceError(f"{self._address} refuses: {error}") from None
        except (OSError, EOFError) as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, EOFError):
                reason = "it closed the connection"
            raise SourceError(f"{self._address} cannot be read: {reason}") from None
        finally:
            if connection is not None:
                connection.close()

    def _unused(self) -> RespConnection | None:
        """Return a connection that waits to be used; one that the source has closed is given up."""
        while self._free:
            connection = self._free.pop()
            if not connection.ended:
                return connection
            connection.close()
        return None

    async def keys(self, pattern: str) -> AsyncGenerator[bytes]:
        """Yield the keys that match, a slice at a time; each once, however often SCAN says it."""
        seen: set[int] = set()
        cursor = "0"
        while True:
            async with self.reader() as reader:
                reply = await reader.command("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
                if not isinstance(reply, list) or not isinstance(reply[0], bytes):
                    raise SourceError(f"{self._address} does not answer SCAN as Redis does")
            cursor, keys = reply[0].decode(), reply[1]
            for key in keys if isinstance(keys, list) else ():
                # Of a name 8 bytes are kept: there may be millions.
                if isinstance(key, bytes) and hash(key) not in seen:
                    seen.add(hash(key))
                    yield key
            if cursor == "0":
                return

    async def count(self, pattern: str) -> int:
        """Return how many keys match."""
        count = 0
        async with aclosing(self.keys(pattern)) as keys:
            async for _ in keys:
                count += 1
        return count

    async def aclose(self) -> None:
        """Close all connections that are not lent."""
        while self._free:
            self._free.pop().close()


def pattern_of(text: str) -> str:
    """Return the pattern that matches just this text."""
    return "".join(f"\\{char}" if char in "*?[]^-\\" else char for char in text)


def _tls(query: Mapping[str, str]) -> ssl.SSLContext:
    """
    Make a context of the options that have been found to be right.

    Raises:
        SourceError: one of them is not supported here.
    """
    others = sorted(name for name in query if name.startswith("ssl_") and name not in _TLS)
    if others:
        raise SourceError(f"the source cannot be read from with {', '.join(others)}")
    context = ssl.create_default_context(
        cafile=query.get("ssl_ca_certs"), capath=query.get("ssl_ca_path")
    )
    if query.get("ssl_cert_reqs", "").lower().removeprefix("cert_") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "ssl_certfile" in query:
        context.load_cert_chain(
            query["ssl_certfile"], query.get("ssl_keyfile"), query.get("ssl_password", "")
        )
    return context
