"""
Sessions of an agent-memory-server, or of ours, over its HTTP API.

Its list gives ids alone, and a GET by an id that several scopes have finds none of them, or one:
these cannot be told apart here, and are refused. Of ours the messages are read as they are stored,
for a GET tells any that is not of the contract's form as text.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from memory_cache import SessionKey, parse_json
from memory_cache_server.importing.document import parse, understood
from memory_cache_server.importing.found import (
    ChangedError,
    Found,
    Gone,
    Read,
    Refused,
    SourceError,
    Transcript,
    shown,
)
from memory_cache_server.importing.http_client import Answer, HttpClient
from memory_cache_server.settings import Settings

_LIST: Final = "/v1/working-memory/"
_PAGE: Final = 100
_MESSAGES: Final = 500
_PASSES: Final = 5
_VERSION: Final = "memory-version"
"""The header that our own server sends with a session."""


class AgentMemoryHttp:
    """A source: see the module."""

    def __init__(
        self, url: str, settings: Settings, namespace: str | None, token: str | None
    ) -> None:
        self._http = HttpClient(url, token)
        self._scope = {} if namespace is None else {"namespace": namespace}
        self._settings = settings

    async def count(self) -> int | None:
        """See `Source`."""
        return (await self._list(0, 1))[1]

    async def readings(self) -> AsyncGenerator[Read]:
        """
        See `Source`.

        The list is by activity: what is used while it is read moves to its end, and what stood
        behind it moves forward and may be missed, or met twice. So it is read again until that
        brings nothing new; an id that always comes more than once is that of several sessions.
        """
        times: dict[str, list[int]] = {}
        for _ in range(_PASSES):
            known = len(times)
            for session_id, often in (await self._ids()).items():
                times.setdefault(session_id, []).append(often)
            if len(times) == known:
                break
        for session_id, found in times.items():
            yield partial(self._read, session_id, min(found), max(found))

    async def aclose(self) -> None:
        """See `Source`."""
        self._http.close()

    async def _read(self, session_id: str, least: int, most: int) -> Found | None:
        name = shown(session_id)
        several = f"{most} sessions have this id: give --namespace, or read Redis"
        no_path = "/" in session_id or session_id in {".", ".."}
        if least > 1 or no_path:
            reason = "the API cannot be asked for an id like this" if no_path else several
            return Refused(name, reason)
        path = f"{_LIST}{quote(session_id, safe='')}"
        answer = await self._http.get(path, self._scope)
        if answer.status != HTTPStatus.OK:
            missing = answer.status == HTTPStatus.NOT_FOUND
            if missing and most == 1:
                return Gone(name)
            return Refused(name, several if missing else f"the server answers {answer.status}")
        document = parse(answer.body, name)
        if isinstance(document, Refused):
            return document
        if _VERSION in answer.headers:
            return self._ours(document, name, session_id, path, answer)
        return understood(document, name, session_id, self._settings)

    def _ours(
        self, document: Mapping[str, Any], name: str, session_id: str, path: str, answer: Answer
    ) -> Found:
        found = understood({**document, "messages": []}, name, session_id, self._settings)
        if isinstance(found, Refused):
            return found
        version = answer.headers[_VERSION]
        return Transcript(
            name,
            found.key,
            partial(self._slices, found.key, f"{path}/messages", version),
            fields=found.fields,
            ttl_seconds=found.ttl_seconds,
            version=version,
        )

    async def _slices(
        self, key: SessionKey, path: str, version: str, _: list[str]
    ) -> AsyncGenerator[list[dict[str, Any]]]:
        scope = {"namespace": key.namespace, "user_id": key.user_id}
        end, next_ = 0, 1
        while end < next_:
            query = {**scope, "after": end - 1, "limit": _MESSAGES}
            answer = await self._http.get(path, query)
            # A message may have 64 levels of its own.
            page: Any = (
                {} if answer.status != HTTPStatus.OK else parse_json(answer.body, max_depth=66)
            )
            if page.get("version") != version:
                raise ChangedError("the session changed while it was read")
            yield page["messages"]
            end, next_ = page["end"], page["next"]

    async def _ids(self) -> Counter[str]:
        """Read the list once; how often each id is in it."""
        ids: Counter[str] = Counter()
        offset = 0
        while True:
            some, total = await self._list(offset, _PAGE)
            ids.update(some)
            offset += _PAGE
            if offset >= total or not some:
                return ids

    async def _list(self, offset: int, limit: int) -> tuple[Sequence[str], int]:
        query = {**self._scope, "offset": offset, "limit": limit}
        answer = await self._http.get(_LIST, query)
        page = parse(answer.body, "list") if answer.status == HTTPStatus.OK else None
        if isinstance(page, dict):
            match page:
                case {"sessions": [*ids], "total": int(total)} if all(
                    isinstance(each, str) for each in ids
                ):
                    return ids, total
        raise SourceError(f"{self._http} does not list sessions (it answers {answer.status})")
