"""The server's application in this process, over a real store, without a socket in between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from memory_cache_server.app import create_app
from memory_cache_server.settings import Settings

SESSION = "/v1/working-memory/s"
MESSAGES = f"{SESSION}/messages"


@asynccontextmanager
async def serving(redis_url: str, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application with these settings; the cache is open until the block ends."""
    app = create_app(Settings.model_validate({"redis_url": redis_url, **settings}))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


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
