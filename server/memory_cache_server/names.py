"""
Names as the client wrote them.

The usual decoding of URLs replaces what is not UTF-8, so that two names become one. Here such
a URL is refused, before routing.
"""

import re
from collections.abc import Container
from typing import Final, Protocol
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from memory_cache import InvalidNameError, Session, SessionCache
from memory_cache_server.errors import Problem, fault, invalid

QUERY: Final = "memory_cache.query"
"""Where a request's scope has its query: the last value of each name."""

SESSIONS: Final = "/v1/working-memory/"
PLAIN_SESSION: Final = SESSIONS.encode() + rb"([A-Za-z0-9._~-]+)"
"""A pattern: the raw path to a session, with an id that needs no decoding."""

_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]*")
_FIRST_PRINTABLE: Final = 0x20
_DELETE: Final = 0x7F


class Scoped(Protocol):
    """What has the scope of a session."""

    namespace: str | None
    user_id: str | None


class StrictNames:
    """A layer that decodes path and query by itself, and refuses what is not UTF-8."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on with its names decoded, or answer 422."""
        if scope["type"] == "http":
            try:
                scope = decoded(scope)
            except Problem as problem:
                return await problem.response(scope)(scope, receive, send)
        return await self._app(scope, receive, send)


def decoded(scope: Scope) -> Scope:
    """
    Return the scope of a request with its path and query decoded.

    Raises:
        Problem: 404, 422.
    """
    return {**scope, "path": _path(scope), QUERY: _query(scope)}


def session_of(
    cache: SessionCache,
    session_id: str,
    scope: Scoped,
    *,
    id_in: tuple[str, ...] = ("path",),
    scope_in: tuple[str, ...] = ("query",),
) -> Session:
    """
    Return the session of a name.

    Raises:
        Problem: 422, saying which part of the name may not be one, and where it stood.
    """
    try:
        return cache.session(session_id, namespace=scope.namespace, user_id=scope.user_id)
    except InvalidNameError as error:
        where = id_in if error.field == "session_id" else scope_in
        raise invalid_name((*where, error.field), error.reason) from None


def invalid_name(loc: tuple[str, ...], reason: str) -> Problem:
    """Return the 422 for a name that may not be one."""
    return invalid([fault("invalid_name", loc, reason)], "invalid_name")


def plain_query(query_string: bytes, names: Container[str]) -> dict[str, str] | None:
    """Return a query of these names, each once at most, that needs no decoding; else None."""
    query = dict[str, str]()
    for pair in query_string.decode("latin-1").split("&") if query_string else ():
        name, _, value = pair.partition("=")
        if name in query or name not in names or not _UNRESERVED.fullmatch(value):
            return None
        query[name] = value
    return query


def _path(scope: Scope) -> str:
    raw = scope.get("raw_path")
    if raw is None:  # optional in ASGI; then only the decoded one is left
        return str(scope["path"])
    if b"%2f" in raw.lower():
        # Decoded it would be a path of another route: of no name here a slash may be part.
        raise Problem(404, "not_found", "Not Found", "Not Found")
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise invalid_name(("path",), "is not UTF-8") from None
    if any(ord(char) < _FIRST_PRINTABLE or ord(char) == _DELETE for char in path):
        loc = ("path", "session_id") if path.startswith(SESSIONS) else ("path",)
        raise invalid_name(loc, "must not hold control characters")
    return path


def _query(scope: Scope) -> dict[str, str]:
    try:
        text = scope["query_string"].decode()
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise invalid_name(("query",), "is not UTF-8") from None
