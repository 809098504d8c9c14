"""The server's application in this process, over a real store."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
import uvicorn
from starlette.types import ASGIApp

from memory_cache_server.app import create_app, layered
from memory_cache_server.settings import Settings

SESSION = "/v1/working-memory/s"
MESSAGES = f"{SESSION}/messages"


@asynccontextmanager
async def serving(redis_url: str, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client of what a worker with these settings runs, until the block ends."""
    given = Settings.model_validate({"redis_url": redis_url, **settings})
    app = create_app(given)
    transport = httpx.ASGITransport(layered(app, given))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@asynccontextmanager
async def listening(
    redis_url: str,
    make: Callable[[Settings], ASGIApp] = create_app,
    http: type[asyncio.Protocol] | Literal["httptools"] = "httptools",
) -> AsyncIterator[str]:
    """
    The URL at which the application answers until the block ends, for clients of their own.

    ``make`` may put layers around it; ``http``: the protocol on each connection.
    """
    app = make(Settings.model_validate({"redis_url": redis_url}))
    server = uvicorn.Server(uvicorn.Config(app, http=http, lifespan="on", log_config=None))
    # asyncio turns off Nagle's waiting only for sockets that say their protocol.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        serving_task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            # The listener is open: what connects before the server is ready waits for it.
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving_task


def message(content: str, **more: object) -> dict[str, Any]:
    """A message of a user."""
    return {"role": "user", "content": content, **more}


def contents(document: Any) -> list[str]:  # noqa: ANN401  parsed JSON
    """The contents of the messages of a document."""
    return [message["content"] for message in document["messages"]]


def is_error_document(response: httpx.Response, *, change: bool) -> bool:
    """Whether this is the one error document, whole."""
    document = response.json()
    applied = {"applied"} if change else set()
    return (
        response.headers["content-type"] == "application/json"
        and document.keys() - {"request_id"} == {"detail", "code", "title", "status"} | applied
        and isinstance(document["detail"], str | list)
        and document["status"] == response.status_code
    )


def faults(response: httpx.Response) -> list[tuple[str, list[object]]]:
    """Type and place of each fault of a 422, which repeats no input."""
    assert response.status_code == 422, response.text
    assert is_error_document(response, change=response.request.method != "GET")
    detail: list[dict[str, Any]] = response.json()["detail"]
    assert all(fault.keys() <= {"type", "loc", "msg", "ctx"} for fault in detail)
    return [(fault["type"], fault["loc"]) for fault in detail]
