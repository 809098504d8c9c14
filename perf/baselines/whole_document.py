"""
The whole-document design: one JSON document per session, in one string of a plain Redis.

    python -m perf.baselines.whole_document --redis-url redis://localhost:6379 [--workers 2]

A PUT parses and validates the whole transcript, counts the tokens of every message (to see
whether to summarise), writes all of it and sends it back. A GET reads, parses and validates all of
it, sorts by created_at if the last N are asked for, and sends those. redis/agent-memory-server does
that for each request, and more, which is left out: a migration flag, an index, authentication, a
second serialisation for the answer. Tokens are counted once on a PUT, as there while summarization
is on, which it is unless it is switched off; there they are counted once more where a request names
a model or a window, and on a GET then, too: here neither. The same uvicorn, FastAPI, token counter
and Redis client as ours, one parser pass (pydantic's, in Rust, from bytes to models), one
serialiser pass: so the difference is the design.

`context_window_max` on a PUT asks for the part of such a window that the transcript takes, in
percent, as in the contract: so it can be seen how tokens were counted.
"""

import argparse
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field
from redis.asyncio import BlockingConnectionPool, Redis

from memory_cache import token_counter

CONNECTIONS = 64
URL = "WHOLE_DOCUMENT_STORE"
SESSION = "/v1/working-memory/{session_id}"


def _now() -> datetime:
    return datetime.now(UTC)


class Message(BaseModel):
    """A message, in the contract's form."""

    role: str
    content: str
    id: str = ""
    created_at: datetime = Field(default_factory=_now)
    persisted_at: datetime | None = None
    discrete_memory_extracted: str = "f"


class Document(BaseModel):
    """A whole session."""

    messages: list[Message] = Field(default_factory=list)
    memories: list[dict[str, Any]] = Field(default_factory=list)
    data: dict[str, Any] | None = None
    context: str | None = None
    user_id: str | None = None
    tokens: int = 0
    session_id: str = ""
    namespace: str | None = None
    long_term_memory_strategy: dict[str, Any] = Field(
        default_factory=lambda: {"strategy": "discrete", "config": {}}
    )
    ttl_seconds: int | None = None
    last_accessed: datetime = Field(default_factory=_now)
    created_at: datetime = Field(default_factory=_now)
    updated_at: datetime = Field(default_factory=_now)


def parse(text: bytes) -> Document:
    """Make models of a whole document."""
    return Document.model_validate_json(text)


def dump(document: Document) -> bytes:
    """Write a whole document."""
    return document.__pydantic_serializer__.to_json(document)


def in_order(document: Document) -> None:
    """Sort the messages by time."""
    document.messages.sort(key=lambda message: message.created_at)


def total(document: Document, count: Callable[[str], int]) -> int:
    """Return the tokens of all messages, as the contract counts before it would summarise."""
    return sum(count(f"{message.role}: {message.content}") for message in document.messages)


def measured(text: bytes, tokens: int, window: int) -> bytes:
    """Return a document's text with the part of a window that it takes."""
    part = min(100 * tokens / window, 100.0)
    return text[:-1] + f',"context_percentage_total_used":{part}}}'.encode()


def key_of(session_id: str, namespace: str | None, user_id: str | None) -> str:
    """Return where a session is kept."""
    return f"whole:{namespace or ''}:{user_id or ''}:{session_id}"


def create() -> FastAPI:
    """Make the application of one worker; the store's URL is in the environment."""
    pool = BlockingConnectionPool.from_url(
        os.environ[URL], protocol=2, max_connections=CONNECTIONS, timeout=None
    )
    store = Redis.from_pool(pool)
    _, count = token_counter()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await store.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/v1/health")
    async def health() -> Response:
        return Response(b"{}", media_type="application/json")

    @app.put(SESSION)
    async def put(
        session_id: str, request: Request, context_window_max: int | None = None
    ) -> Response:
        document = parse(await request.body())
        document.session_id = session_id
        tokens = total(document, count)
        document.updated_at = _now()
        text = dump(document)
        await store.set(key_of(session_id, document.namespace, document.user_id), text)
        if context_window_max:
            text = measured(text, tokens, context_window_max)
        return Response(text, media_type="application/json")

    @app.get(SESSION)
    async def get(
        session_id: str,
        namespace: str | None = None,
        user_id: str | None = None,
        recent_messages_limit: int | None = None,
    ) -> Response:
        text = await store.get(key_of(session_id, namespace, user_id))
        if text is None:
            raise HTTPException(404, f"Session {session_id} not found")
        document = parse(text if isinstance(text, bytes) else text.encode())
        if recent_messages_limit and recent_messages_limit > 0:
            in_order(document)
            document.messages = document.messages[-recent_messages_limit:]
        return Response(dump(document), media_type="application/json")

    return app


def main() -> None:
    """Serve on a free port, and print the address."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--redis-url", required=True)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    os.environ[URL] = options.redis_url
    config = uvicorn.Config(
        "perf.baselines.whole_document:create",
        factory=True,
        interface="asgi3",
        http="httptools",
        ws="none",
        loop="uvloop",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        port=0,
    )
    listener = config.bind_socket()
    listener.listen(1024)  # so that nobody is refused while the workers start
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    for _ in range(options.workers - 1):
        if os.fork() == 0:
            break
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
