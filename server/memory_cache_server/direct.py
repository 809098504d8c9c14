"""
The short way to the endpoints of a session: the framework's layers cost more than an append.

It takes only paths that need no decoding; everything else goes on to the framework, which comes
to the same functions, and words their errors in the same way.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from memory_cache import MemoryCacheError
from memory_cache_server.errors import ErrorBoundary, Problem, answer
from memory_cache_server.names import PLAIN_SESSION, decoded
from memory_cache_server.services import Application

_PATH: Final = re.compile(PLAIN_SESSION + rb"(/messages)?")

Endpoint = Callable[[Request], Awaitable[Response]]


class Direct:
    """An ASGI layer that calls endpoints of a session itself."""

    def __init__(self, app: Application, routes: Iterable[BaseRoute], session: str) -> None:
        """Stand before ``app``, which has these routes; ``session``: their path to a session."""
        self.state = app.state
        self._app = app
        self._endpoints: dict[tuple[str, bytes | None], Endpoint] = {
            (method, rest): route.endpoint
            for route in routes
            for rest in (None, b"/messages")
            if isinstance(route, APIRoute) and route.path == session + (rest or b"").decode()
            for method in route.methods or ()
        }
        self._answer = ErrorBoundary(self._answered)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand the request on."""
        if scope["type"] == "http" and not scope["root_path"]:
            path = _PATH.fullmatch(scope["raw_path"])
            endpoint = self._endpoints.get((scope["method"], path[2])) if path else None
            if path and endpoint:
                params = {"session_id": path[1].decode()}
                scope = {**scope, "app": self._app, "endpoint": endpoint, "path_params": params}
                await self._answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope = decoded(scope)
            response = await scope["endpoint"](Request(scope, receive, send))
        except (Problem, MemoryCacheError) as error:
            response = answer(error, scope)
        await response(scope, receive, send)
