"""Requests as a server hands them to an application, without a server."""

from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Counting:
    """The application, and how many requests came through to it."""

    def __init__(self, app: FastAPI) -> None:
        self.calls = 0
        self.state = app.state
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, and hand on."""
        self.calls += 1
        await self._app(scope, receive, send)


async def ask(app: Any, request: dict[str, Any], body: bytes = b"") -> Answer:  # noqa: ANN401  # ASGI
    """The answer of an application to one request."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(part: dict[str, Any]) -> None:
        sent.append(part)

    await app(dict(request), receive, send)
    start, *bodies = sent
    return start["status"], start["headers"], b"".join(part.get("body", b"") for part in bodies)


def request(path: str, query: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # ASGI
    """The scope of a request, as a server makes it."""
    raw = path.encode("ascii")
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": raw,
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [(b"host", b"test")],
        "client": None,
        "server": None,
        **more,
    }
