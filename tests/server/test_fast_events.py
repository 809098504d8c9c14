"""The fast path of live tails: the plainest requests only, and the routes' words for all others."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from memory_cache_server.app import create_app
from memory_cache_server.fast_events import FastEvents
from memory_cache_server.settings import Settings
from support.in_process import message
from support.requests import Answer, Counting, request

PATH = "/v1/working-memory/chat-1/events"
WAIT_SECONDS = 10.0


@pytest.fixture
async def app(valkey_url: str) -> AsyncIterator[FastAPI]:
    """The application over a session of some messages."""
    app = create_app(Settings(redis_url=valkey_url))
    async with app.router.lifespan_context(app):
        for user_id in (None, "u7"):
            chat = app.state.services.cache.session("chat-1", user_id=user_id)
            await chat.append([message(f"{user_id} {seq}") for seq in range(3)])
        yield app


async def begun(app: Any, scope: dict[str, Any], parts: int) -> Answer:  # noqa: ANN401  # ASGI
    """The beginning of an answer; the client goes when so many parts of its body have come."""
    sent: list[dict[str, Any]] = []
    enough = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(part: dict[str, Any]) -> None:
        sent.append(part)
        if len(sent) > parts or not part.get("more_body", True):
            enough.set()

    async with asyncio.timeout(WAIT_SECONDS):
        await app(dict(scope), receive, send)
    start, *bodies = sent
    return start["status"], start["headers"], b"".join(part.get("body", b"") for part in bodies)


async def place(app: FastAPI, seq: int, **scope: str) -> str:
    """The id of the event of a message."""
    page = await app.state.services.cache.session("chat-1", **scope).recent(1)
    return f"{page.version}/0/{seq + 1}"


@pytest.mark.parametrize("query", ["", "user_id=u7", "namespace=&user_id=u7"])
async def test_plain(app: FastAPI, query: str) -> None:
    """A plain request is answered as the route would, and does not come to it."""
    scope = {"user_id": "u7"} if "u7" in query else {}
    last = [(b"last-event-id", (await place(app, 0, **scope)).encode())]
    for headers in ([], [(b"host", b"test"), *last]):
        asked = request(PATH, query, headers=headers)
        behind = Counting(app)
        fast = await begun(FastEvents(behind), asked, 2)
        assert behind.calls == 0
        assert fast == await begun(app, asked, 2)
        assert fast[0] == 200
    assert fast[2].count(b"event: message") == 2


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"query_string": b"namespace=n%6f"}, 200),
        ({"query_string": b"after="}, 422),
        ({"query_string": b"user_id=a&user_id=b"}, 200),
        ({"query_string": b"after=nonsense"}, 422),
        ({"headers": [(b"last-event-id", b"nonsense")]}, 422),
        ({"headers": [(b"last-event-id", b"-"), (b"last-event-id", b"x")]}, 200),
        ({"query_string": b"user_id=" + b"u" * 600}, 422),
        ({"raw_path": b"/v1/working-memory/%00/events"}, 422),
        ({"method": "POST"}, 405),
        ({"root_path": "/api"}, 200),
    ],
)
async def test_others(app: FastAPI, changes: dict[str, Any], status: int) -> None:
    """What is not plain, and every error, is answered by the routes."""
    asked = {**request(PATH, ""), **changes}
    behind = Counting(app)
    found = await begun(FastEvents(behind), asked, 2)
    assert behind.calls == 1
    assert found == await begun(app, asked, 2)
    assert found[0] == status


async def test_errors_in_a_stream(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What breaks a stream is logged by its kind, never by its words, which may be the client's."""
    said = "secret".upper()

    def broken(*_: object) -> bytes:
        raise RuntimeError(said)

    monkeypatch.setattr("memory_cache_server.event_stream.rendered", broken)
    with pytest.raises(RuntimeError):
        await begun(FastEvents(app), request(PATH, ""), 2)
    assert "RuntimeError" in caplog.text
    assert said not in caplog.text
