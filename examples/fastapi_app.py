"""
A FastAPI application that keeps its conversations in an embedded cache.

    uvicorn --app-dir examples fastapi_app:app

Each worker process has a cache of its own; they keep each other true through Redis.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse

from memory_cache import NEWEST, Session, SessionCache, StoreError, open_cache


class State(TypedDict):
    """What every request finds in its state."""

    cache: SessionCache


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[State]:
    """Open the cache when the worker starts, and close it when it ends."""
    async with open_cache(os.environ.get("REDIS_URL", "redis://localhost:6379")) as cache:
        yield {"cache": cache}


app = FastAPI(lifespan=lifespan)


def chat_of(request: Request, chat_id: str) -> Session:
    """Return the handle of a conversation; nothing is sent for it."""
    cache: SessionCache = request.state.cache
    return cache.session(chat_id, namespace="demo")


@app.post("/chats/{chat_id}")
async def say(
    chat: Annotated[Session, Depends(chat_of)],
    text: str,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> dict[str, Any]:
    """Append what the user says, ask the model about the last 20 messages, append its answer."""
    said = await chat.append({"role": "user", "content": text}, operation_id=idempotency_key)
    if said.replayed:  # a turn that was sent again: was it answered?
        after = await chat.page(after=said.end - 1, limit=1, consistency=NEWEST)
        if after.messages:
            return after.messages[0]
    recent = await chat.recent(20)
    answer = {"role": "assistant", "content": model(recent.messages)}
    await chat.append(answer)
    return answer


@app.get("/chats/{chat_id}")
async def last_messages(chat: Annotated[Session, Depends(chat_of)]) -> Response:
    """Send the last 20 messages: bytes as they are stored, of a hot session without Redis."""
    page = chat.peek(20) or await chat.recent(20)
    return Response(page.json, media_type="application/json")


@app.exception_handler(StoreError)
async def unavailable(_: Request, error: StoreError) -> JSONResponse:
    """Say that Redis does not answer, and what became of the change."""
    document = {"detail": error.reason, "applied": error.applied}
    return JSONResponse(document, 503, {"Retry-After": "1"})


def model(messages: list[dict[str, Any]]) -> str:
    """Stand for a language model."""
    said = [message["content"] for message in messages if message["role"] == "user"]
    return f"You have said {len(said)} things, the last one: {said[-1]}"
