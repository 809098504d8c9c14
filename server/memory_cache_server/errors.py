"""
The one error document, and which status each error has.

`detail` is what clients of the contract read: a sentence, or for input that does not fit the
contract's list of faults, which say where and why but never repeat the input.
"""

import json
import logging
import re
import secrets
import traceback
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_cache import (
    CacheClosedError,
    DamagedSessionError,
    InvalidInputError,
    InvalidJsonError,
    MemoryCacheError,
    NearCacheOffError,
    OperationReusedError,
    ScopeNeededError,
    StoreError,
    TooLargeError,
    TranscriptEditedError,
    VersionLostError,
    VersionMismatchError,
    VersionTimeoutError,
)

_log = logging.getLogger(__name__)

Fault = dict[str, Any]
"""One entry of the contract's list: type, loc, msg, and ctx where there is one."""

RETRY_AFTER_SECONDS: Final = 1

_ENDING: Final = frozenset({405, 413})
"""
Behind these the connection ends: the body was not read, and what is left of it could be endless.

To read it only for the next request behind it would cost more than a new connection.
"""
_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

_STATUS: Final[Sequence[tuple[type[MemoryCacheError], int, str]]] = (
    (TooLargeError, 413, "Too large"),
    (InvalidJsonError, 400, "Not JSON that can be kept"),
    (InvalidInputError, 422, "Invalid input"),
    (OperationReusedError, 422, "Operation id used for another change"),
    (VersionMismatchError, 412, "Not the expected version"),
    (VersionLostError, 409, "The store lost this version"),
    (TranscriptEditedError, 409, "The transcript was edited"),
    (VersionTimeoutError, 504, "The version did not arrive in time"),
    (StoreError, 503, "The store is unavailable"),
    (CacheClosedError, 503, "The server is shutting down"),
    (DamagedSessionError, 500, "The stored session is damaged"),
    (NearCacheOffError, 501, "The near cache is off"),
)
_CHANGES: Final = frozenset({"PUT", "PATCH", "DELETE", "POST"})
_READS_BY_POST: Final = "/v1/memory/prompt"


class Problem(Exception):  # noqa: N818  a thing to answer, not only a thing gone wrong
    """An answer that is an error. ``applied`` is added for changes, "no" unless it says else."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str | Sequence[Fault],
        *,
        headers: Mapping[str, str] | None = None,
        applied: str = "no",
    ) -> None:
        super().__init__(title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.applied = applied

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes."""
        make = partial(Problem, headers=self.headers, applied=self.applied)
        return make, (self.status, self.code, self.title, self.detail)

    def response(self, scope: Scope, **more: str) -> Response:
        """Return the document for a request; ``more`` stands beside the rest."""
        document: dict[str, object] = {
            "detail": self.detail,
            "code": self.code,
            "title": self.title,
            "status": self.status,
        }
        if _is_change(scope):
            document["applied"] = self.applied
        # Not orjson: a fault may hold an integer beyond 64 bits, as a limit in its ctx.
        content = json.dumps({**document, **more}, ensure_ascii=True, separators=(",", ":"))
        headers = dict(self.headers)
        if self.status in _ENDING:
            headers["connection"] = "close"
        return Response(content, self.status, headers, "application/json")


def invalid(faults: Iterable[Fault], code: str = "invalid_input") -> Problem:
    """Return the 422 with these faults."""
    return Problem(422, code, "Invalid input", list(faults))


def fault(kind: str, loc: Sequence[str | int], msg: str, **ctx: object) -> Fault:
    """Return one entry of the contract's list."""
    found: Fault = {"type": kind, "loc": list(loc), "msg": msg}
    return {**found, "ctx": ctx} if ctx else found


def faults_of(error: ValidationError, where: str) -> list[Fault]:
    """Return pydantic's findings about a body or query as the contract's list, without input."""
    return [_without_input(found, where) for found in error.errors(include_url=False)]


def not_found(session_id: str) -> Problem:
    """Return the 404 of a session that does not exist, by the store's own word."""
    return Problem(404, "session_not_found", "No such session", f"Session {session_id} not found")


def no_long_term_memory() -> Problem:
    """Return the 400 of agent-memory-server where long-term memory is off."""
    detail = "Long-term memory is disabled"
    return Problem(400, "long_term_memory_disabled", detail, detail)


def answer(error: Problem | MemoryCacheError, scope: Scope) -> Response:
    """Answer a request with an error that was raised on purpose."""
    problem = error if isinstance(error, Problem) else problem_of(error)
    return problem.response(scope)


async def answer_own(request: Request, error: Exception) -> Response:
    """Answer a `Problem`, or what the library raised, in the framework."""
    assert isinstance(error, Problem | MemoryCacheError)
    return answer(error, request.scope)


async def answer_framework(request: Request, error: Exception) -> Response:
    """Answer what routing found (no such path, wrong method), in the framework's words."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    headers = error.headers
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        # The framework names those of the first route with this path; each method has its own.
        headers = {"allow": ", ".join(_allowed(request))}
    problem = Problem(status, status.name.lower(), status.phrase, error.detail, headers=headers)
    return problem.response(request.scope)


def problem_of(error: MemoryCacheError) -> Problem:
    """Return how an error of the library is answered."""
    status, title = next((s, t) for kind, s, t in _STATUS if isinstance(error, kind))
    detail: str | list[Fault] = str(error)
    headers = {}
    match error:
        case InvalidJsonError():
            detail = f"The JSON {error.reason}"
        case TooLargeError() | ScopeNeededError():
            detail = f"{error.field}: {error.reason}"
        case InvalidInputError():
            detail = [fault(error.code, _location(error.field), error.reason)]
        case VersionMismatchError(current=str(current)):
            headers = {"memory-version": current}
        case StoreError() | CacheClosedError():
            headers = {"retry-after": str(RETRY_AFTER_SECONDS)}
    if isinstance(error, StoreError):
        detail = f"The store is unavailable: {error.reason}"
    return Problem(
        status, error.code, title, detail or title, headers=headers, applied=error.applied
    )


class ErrorBoundary:
    """
    The outermost layer: whatever was raised and not answered becomes the 500 document.

    The log gets the request's id, the kind of error and where it was raised; never its message,
    which may repeat what the client sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; of a request, raises only what comes after its answer has begun."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except ClientDisconnect:
            return None  # there is nobody to answer
        except Exception as error:
            request_id = secrets.token_hex(8)
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("request %s failed: %s\n%s", request_id, type(error).__name__, where)
            if begun:
                raise
            await _unexpected(scope, request_id)(scope, receive, send)
        return None


def _unexpected(scope: Scope, request_id: str) -> Response:
    problem = Problem(
        500,
        "internal_error",
        "Internal error",
        "The server failed to answer; its log has more under the request_id",
        applied="unknown",
    )
    return problem.response(scope, request_id=request_id)


def _allowed(request: Request) -> list[str]:
    """Return the methods that the path of a request has."""
    routes: Sequence[BaseRoute] = request.app.routes
    return [
        method
        for method in _METHODS
        if any(r.matches({**request.scope, "method": method})[0] is Match.FULL for r in routes)
    ]


def _is_change(scope: Scope) -> bool:
    return scope["method"] in _CHANGES and scope["path"] != _READS_BY_POST


def _without_input(found: ErrorDetails, where: str) -> Fault:
    loc = (where, *found["loc"])
    if found["type"] == "extra_forbidden":
        loc = loc[:-1]  # the last part is a name that the client made up
    ctx: dict[str, object] = {
        name: value if isinstance(value, str | int | float) else {}
        for name, value in found.get("ctx", {}).items()
    }
    return fault(found["type"], loc, found["msg"], **ctx)


def _location(field: str) -> list[str | int]:
    """Return `messages[3].content` as the contract says it: body, messages, 3, content."""
    parts = re.findall(r"[^.\[\]]+", field)
    return ["body", *(int(part) if part.isdecimal() else part for part in parts)]
