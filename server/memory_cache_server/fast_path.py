"""
The fast path: hot GETs of recent messages, answered before the framework sees them.

It takes only the plainest of requests (a limit, a scope, names in unreserved ASCII, each key
given once) and only where the near cache may answer at this moment. Everything else goes on
to the routes, which answer the same bytes.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Final, NamedTuple

from starlette.types import Message, Receive, Scope, Send

from memory_cache import Header, Page, SessionKey, Tier
from memory_cache_server.conditional import Reading
from memory_cache_server.names import PLAIN_SESSION, plain_query
from memory_cache_server.rendering import PRIVATE, read_headers, session_document
from memory_cache_server.schemas import SessionQuery
from memory_cache_server.services import Application, Services

_PATH: Final = re.compile(PLAIN_SESSION)
_LIMIT_NAME: Final = "recent_messages_limit"
_QUERY: Final = frozenset({_LIMIT_NAME, "namespace", "user_id"})
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,3}")

_MATTERS: Final = frozenset({b"cache-control", b"memory-min-version", b"if-none-match"})
"""Headers that may ask for another consistency than the bounded one, or for no body."""

ASKED: Final = "memory_cache.asked"
"""In the state of a scope for which there was no ready answer a moment ago."""

READY_COST: Final = 4096
"""Bytes charged for a ready answer beside its body and names: what its plan and headers take."""


class Answer(NamedTuple):
    """
    A whole answer.

    ``start``, ``end``: its two ASGI messages. ``head``: the headers as HTTP/1.1 writes them, with
    the empty line after them.
    """

    start: Message
    end: Message
    head: bytes


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one path and query mean."""

    key: SessionKey
    peek: Callable[[], Page | None]
    valid: Callable[[Header], bool]
    reading: Reading


@dataclass(frozen=True, slots=True)
class _Ready:
    """
    The answer to one path and query, right for as long as ``valid(header)``.

    ``cost``: bytes charged to the budget.
    """

    valid: Callable[[Header], bool]
    header: Header
    answer: Answer
    plan: _Plan
    cost: int


class FastPath:
    """An ASGI layer that answers what it can at once."""

    def __init__(self, app: Application, budget_bytes: int) -> None:
        self.state = app.state
        self._app = app
        self._budget = budget_bytes
        # Ready answers pay: making one costs more than all that uvicorn does for a request.
        # A plain dict, first in, first out: anything cleverer would cost a tenth of a hot read.
        self._ready: dict[bytes, _Ready] = {}
        self.bytes_held = 0
        """Bytes charged for ready answers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand the request on."""
        answer = None if ASKED in scope.get("state", ()) else self.answer(scope)
        if answer is None:
            await self._app(scope, receive, send)
            return
        await send(answer.start)
        await send(answer.end)

    def answer(self, scope: Scope) -> Answer | None:
        """Return the answer to a request, without waiting; None: it is for the routes."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["root_path"]:
            return None
        tags = None
        for name, value in scope["headers"]:
            if name in _MATTERS:
                if name != b"if-none-match" or tags is not None:
                    return None
                tags = value
        target = scope["raw_path"] + b"?" + scope["query_string"]
        ready = self._ready.get(target)
        if ready is None or not ready.valid(ready.header):
            try:
                ready = self._make_ready(target, ready)
            except Exception:  # noqa: BLE001  # such as damage, or a name that is none
                return None  # nothing may be raised where a request is parsed: the routes word it
        if ready is None or tags is None:
            return None if ready is None else ready.answer
        return _not_modified(ready, tags)

    def _make_ready(self, target: bytes, old: _Ready | None) -> _Ready | None:
        """Return the answer of this moment; None: it is for the routes."""
        plan = old.plan if old else _parsed(self._app.state.services, target)
        page = plan.peek() if plan else None
        if plan is None or page is None or page.header is None:
            return None
        answer = _rendered(plan, page, page.header)
        cost = READY_COST + len(answer.end["body"]) + _names_cost(target, plan.key)
        ready = _Ready(plan.valid, page.header, answer, plan, cost)
        self._forget(target)
        self._ready[target] = ready
        self.bytes_held += ready.cost
        while self.bytes_held > self._budget:
            self._forget(next(iter(self._ready)))
        return ready

    def _forget(self, target: bytes) -> None:
        old = self._ready.pop(target, None)
        self.bytes_held -= old.cost if old else 0


def _parsed(services: Services, target: bytes) -> _Plan | None:
    """Return what a request means, if it is one of the plainest."""
    raw_path, _, query_string = target.partition(b"?")
    path = _PATH.fullmatch(raw_path)
    query = plain_query(query_string, _QUERY)
    if path is None or query is None or not _LIMIT.fullmatch(query.get(_LIMIT_NAME, "")):
        return None
    asked = SessionQuery.model_validate(query)
    session = services.cache.session(
        path[1].decode(), namespace=asked.namespace, user_id=asked.user_id
    )
    shape = services.shape("session", asked.model_dump())
    peek = partial(session.peek, int(query[_LIMIT_NAME]), by_created_at=True)
    reading = Reading(shape, frozenset(), None, newest=False)
    return _Plan(session.key, peek, session.validator(), reading)


def _names_cost(target: bytes, key: SessionKey) -> int:
    """Return what the target takes, and the names twice: ``valid`` may have them by its entry."""
    return sys.getsizeof(target) + 2 * sum(map(sys.getsizeof, key))


def _rendered(plan: _Plan, page: Page, header: Header) -> Answer:
    body = session_document(page, plan.key, None, no_data={})
    headers = _headers(plan.reading, header)
    headers["content-length"] = str(len(body))
    headers["content-type"] = "application/json"
    return _answer(200, headers, body)


def _not_modified(ready: _Ready, tags: bytes) -> Answer | None:
    """Return the 304, if the client has just this answer; anything else is for the routes."""
    headers = _headers(ready.plan.reading, ready.header)
    if tags.decode("latin-1") != headers["etag"]:
        return None
    return _answer(304, headers, b"")


def _headers(reading: Reading, header: Header) -> dict[str, str]:
    return {**PRIVATE, **read_headers(reading, Tier.NEAR, header.version)}


def _answer(status: int, headers: dict[str, str], body: bytes) -> Answer:
    raw = [_header(*header) for header in headers.items()]
    start = {"type": "http.response.start", "status": status, "headers": raw}
    head = b"".join(b"%b: %b\r\n" % header for header in raw) + b"\r\n"
    return Answer(start, {"type": "http.response.body", "body": body}, head)


@lru_cache(maxsize=64)
def _header(name: str, value: str) -> tuple[bytes, bytes]:
    """
    Return a header as it is sent.

    Answers share one copy of those they have in common: a thousand copies would not stay in the
    CPU's cache.
    """
    return _name(name), value.encode("latin-1")


@cache
def _name(name: str) -> bytes:
    return name.encode("latin-1")
