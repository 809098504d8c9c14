"""The server that is asked over HTTP, by GET alone."""

import asyncio
import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlencode, urlsplit

from memory_cache_server.importing.found import SourceError

SECONDS: Final = 30.0

_NO_URL: Final = "the source is not the URL of a server: http://host:port"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Connections to one server, made as they are needed and used again."""

    def __init__(self, url: str, token: str | None) -> None:
        """
        Keep where the server is; nothing is sent.

        Raises:
            SourceError: that is no URL of a server, or no token.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise SourceError(_NO_URL) from None
        if not parts.hostname or parts.query or parts.username is not None:
            raise SourceError(_NO_URL)
        token = (token or "").strip()
        if not (token.isascii() and token.isprintable()):
            raise SourceError("the bearer token holds what no header can")
        tls = parts.scheme == "https"
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        self._connect = partial(kind, parts.hostname, port, timeout=SECONDS)
        self._path = parts.path.rstrip("/")
        try:
            self._connect()  # not yet to the server, but it looks at the name
        except http.client.InvalidURL:
            raise SourceError(_NO_URL) from None
        self._where = f"{parts.hostname}:{port or (443 if tls else 80)}"
        # Of ours not what a worker remembers, but what the store says.
        self._headers = {"cache-control": "no-cache"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._free: list[http.client.HTTPConnection] = []

    def __str__(self) -> str:
        return self._where

    async def get(self, path: str, query: Mapping[str, object]) -> Answer:
        """
        Ask once, or twice where a connection that waited was closed.

        Raises:
            SourceError: there is no answer.
        """
        target = self._path + path + (f"?{urlencode(query)}" if query else "")
        return await asyncio.to_thread(self._get, target)

    def close(self) -> None:
        """Close all connections that are not in use."""
        while self._free:
            self._free.pop().close()

    def _get(self, target: str) -> Answer:
        reused = True
        try:
            connection = self._free.pop()
        except IndexError:
            reused, connection = False, self._connect()
        try:
            connection.request("GET", target, headers=self._headers)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(response.status, headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if reused:
                return self._get(target)
            reason = str(error) or type(error).__name__
            raise SourceError(f"{self} cannot be read: {reason}") from None
        self._free.append(connection)
        return answer
