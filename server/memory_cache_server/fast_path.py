"""
The fast path: hot GETs of recent messages, answered before the framework sees them.

It takes only the plainest of requests (a limit, a scope, names in unreserved ASCII, each key
given once) and only where the near cache may answer at this moment. Everything else goes on
to the routes, which answer the same bytes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from cachetools import FIFOCache
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from memory_cache import Page, SessionKey
from memory_cache_server.conditional import Reading
from memory_cache_server.rendering import PRIVATE, read_headers, session_document
from memory_cache_server.schemas import SessionQuery
from memory_cache_server.services import Services

_PATH: Final = re.compile(rb"/v1/working-memory/([A-Za-z0-9._~-]+)")
_SCOPES: Final = re.compile(r"[A-Za-z0-9._~-]*")
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,3}")

_MATTERS: Final = frozenset({b"cache-control", b"memory-min-version", b"if-none-match"})
"""Headers that may ask for another consistency than the bounded one, or for no body."""

PLAN_COST: Final = 1024
"""Bytes charged for a plan beside its answer."""

_Answer = tuple[Message, Message]
_Request = tuple[bytes, bytes, str]


@dataclass(slots=True)
class _Plan:
    """What one path and query mean, and the answer that was right for ``header``."""

    key: SessionKey
    peek: Callable[[], Page | None]
    reading: Reading
    header: object = None
    answer: _Answer | None = None
    cost: int = PLAN_COST


class FastPath:
    """An ASGI layer that answers what it can at once."""

    def __init__(self, app: FastAPI, budget_bytes: int) -> None:
        self._app = app
        # Ready answers pay: making one costs more than all that uvicorn does for a request.
        # First in, first out: the order of least use would cost a tenth of a hot read.
        self._plans: FIFOCache[_Request, _Plan] = FIFOCache(budget_bytes, attrgetter("cost"))

    @property
    def bytes_held(self) -> int:
        """Bytes charged for plans and ready answers."""
        return int(self._plans.currsize)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand the request on."""
        if scope["type"] == "http" and scope["method"] == "GET":
            answer = self._answer(scope)
            if answer is not None:
                start, body = answer
                await send(start)
                await send(body)
                return
        await self._app(scope, receive, send)

    def _answer(self, scope: Scope) -> _Answer | None:
        tags = None
        for name, value in scope["headers"]:
            if name in _MATTERS:
                if name != b"if-none-match" or tags is not None:
                    return None
                tags = value
        request = scope["raw_path"], scope["query_string"], scope["root_path"]
        try:
            plan: _Plan | None = self._plans[request]
        except KeyError:
            plan = self._parsed(request)
        if plan is None or (page := plan.peek()) is None:
            return None
        if page.header is not plan.header:
            self._remember(request, plan, page)
        if tags is not None:
            return _not_modified(plan, page, tags)
        return plan.answer

    def _parsed(self, request: _Request) -> _Plan | None:
        raw_path, query, root_path = request
        plan = None if root_path else _parsed(self._app.state.services, raw_path, query)
        if plan is not None and plan.cost <= self._plans.maxsize:
            self._plans[request] = plan
        return plan

    def _remember(self, request: _Request, plan: _Plan, page: Page) -> None:
        plan.header, plan.answer = page.header, _rendered(plan, page)
        plan.cost = PLAN_COST + len(plan.answer[1]["body"])
        # The cache asks for a cost on insertion only.
        self._plans.pop(request, None)
        if plan.cost <= self._plans.maxsize:
            self._plans[request] = plan


def _parsed(services: Services, raw_path: bytes, query_string: bytes) -> _Plan | None:
    """Return what a request means, if it is one of the plainest."""
    path = _PATH.fullmatch(raw_path)
    pairs = [pair.partition("=") for pair in query_string.decode("latin-1").split("&")]
    query = {name: value for name, _, value in pairs}
    if path is None or len(query) != len(pairs):
        return None
    limit = query.pop("recent_messages_limit", "")
    if not (_LIMIT.fullmatch(limit) and query.keys() <= {"namespace", "user_id"}):
        return None
    if not all(map(_SCOPES.fullmatch, query.values())):
        return None
    asked = SessionQuery.model_validate({**query, "recent_messages_limit": limit})
    session = services.cache.session(
        path[1].decode(), namespace=asked.namespace, user_id=asked.user_id
    )
    shape = services.shape("session", asked.model_dump())
    peek = session.peeker(int(limit), by_created_at=True)
    return _Plan(session.key, peek, Reading(shape, frozenset(), None, newest=False))


def _rendered(plan: _Plan, page: Page) -> _Answer:
    headers = _headers(plan, page)
    body = session_document(page, plan.key, None, no_data={})
    headers["content-length"] = str(len(body))
    headers["content-type"] = "application/json"
    return _messages(200, headers, body)


def _not_modified(plan: _Plan, page: Page, tags: bytes) -> _Answer | None:
    """Return the 304, if the client has just this answer; anything else is for the routes."""
    headers = _headers(plan, page)
    if tags.decode("latin-1") != headers["etag"]:
        return None
    return _messages(304, headers, b"")


def _headers(plan: _Plan, page: Page) -> dict[str, str]:
    assert page.version is not None, "the near cache answers for what exists only"
    return {**PRIVATE, **read_headers(plan.reading, page, page.version)}


def _messages(status: int, headers: dict[str, str], body: bytes) -> _Answer:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    start = {"type": "http.response.start", "status": status, "headers": raw}
    return start, {"type": "http.response.body", "body": body}
