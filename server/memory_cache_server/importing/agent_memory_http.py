"""
Sessions of an agent-memory-server, or of ours, over its HTTP API.

Its list gives ids alone, and a GET by an id that several scopes have finds none of them, or one:
these cannot be told apart here, and are refused.
"""

import asyncio
import http.client
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from memory_cache_server.importing.document import parse, understood
from memory_cache_server.importing.found import Found, Gone, Read, Refused, SourceError, shown
from memory_cache_server.settings import Settings

SECONDS: Final = 30.0

_LIST: Final = "/v1/working-memory/"
_PAGE: Final = 100


class AgentMemoryHttp:
    """A source: see the module."""

    def __init__(
        self, url: str, settings: Settings, namespace: str | None, token: str | None
    ) -> None:
        parts = urlsplit(url)
        if not parts.hostname or parts.query or parts.username is not None:
            raise SourceError("the source is not the URL of a server: http://host:port")
        tls = parts.scheme == "https"
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        self._connect = partial(kind, parts.hostname, parts.port, timeout=SECONDS)
        self._path = parts.path.rstrip("/")
        self._where = f"{parts.hostname}:{parts.port or (443 if tls else 80)}"
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._scope = {} if namespace is None else {"namespace": namespace}
        self._settings = settings
        self._free: list[http.client.HTTPConnection] = []

    async def count(self) -> int | None:
        """See `Source`."""
        return int((await self._page(0, 1))["total"])

    async def readings(self) -> AsyncGenerator[Read]:
        """See `Source`."""
        # The list is sorted by activity: what is used while it is read moves to its end.
        ids: Counter[str] = Counter()
        offset = 0
        while True:
            page = await self._page(offset, _PAGE)
            ids.update(page["sessions"])
            offset += _PAGE
            if offset >= page["total"] or not page["sessions"]:
                break
        for session_id, times in ids.items():
            yield partial(self._read, session_id, times)

    async def aclose(self) -> None:
        """See `Source`."""
        while self._free:
            self._free.pop().close()

    async def _read(self, session_id: str, times: int) -> Found | None:
        name = shown(session_id)
        if times > 1:
            return Refused(name, f"{times} sessions have this id: give --namespace, or read Redis")
        if "/" in session_id or session_id in {".", ".."}:
            return Refused(name, "the API cannot be asked for an id like this")
        path = f"{_LIST}{quote(session_id, safe='')}"
        status, raw = await self._get(path, self._scope)
        if status == HTTPStatus.NOT_FOUND:
            return Gone(name)
        if status != HTTPStatus.OK:
            return Refused(name, f"the server answers {status}")
        document = parse(raw, name)
        if isinstance(document, Refused):
            return document
        return understood(document, name, session_id, self._settings)

    async def _page(self, offset: int, limit: int) -> dict[str, Any]:
        query = {**self._scope, "offset": offset, "limit": limit}
        status, raw = await self._get(_LIST, query)
        page = parse(raw, "list") if status == HTTPStatus.OK else None
        if not isinstance(page, dict) or not {"sessions", "total"} <= page.keys():
            raise SourceError(f"{self._where} does not list sessions (it answers {status})")
        return page

    async def _get(self, path: str, query: Mapping[str, object]) -> tuple[int, bytes]:
        target = self._path + path + (f"?{urlencode(query)}" if query else "")
        return await asyncio.to_thread(self._get_now, target)

    def _get_now(self, target: str) -> tuple[int, bytes]:
        reused = bool(self._free)
        connection = self._free.pop() if reused else self._connect()
        try:
            connection.request("GET", target, headers=self._headers)
            answer = connection.getresponse()
            status, raw = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if reused:  # the server may have closed it while it was not used
                return self._get_now(target)
            reason = str(error) or type(error).__name__
            raise SourceError(f"{self._where} cannot be read: {reason}") from None
        self._free.append(connection)
        return status, raw
