"""Ready answers on one connection without a server: what only a transport can see."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from memory_cache_server.fast_path import Answer
from memory_cache_server.protocol import Protocol
from support.connection import Transport, connected

BODY = b"ready"
READY = Answer(
    {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]},
    {"type": "http.response.body", "body": BODY},
    b"content-length: 5\r\n\r\n",
)


class Application:
    """Has an answer ready, but for `/slow`, which waits."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    def at_once(self, scope: Scope) -> Answer | None:
        """The answer, if it is ready."""
        return None if scope["path"] == "/slow" else READY

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer, in time."""
        if scope["path"] == "/slow":
            await self.go_on.wait()
        await send(READY.start)
        await send(READY.end)


def request(path: str) -> bytes:
    """A request."""
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


@pytest.fixture
async def application() -> Application:
    """What answers."""
    return Application()


@pytest.fixture
async def state() -> ServerState:
    """What uvicorn's server shares with its connections."""
    return ServerState()


@pytest.fixture
async def connection(application: Application, state: ServerState) -> tuple[Protocol, Transport]:
    """A connection that has just been made, and its transport."""
    return connected(application, state)


async def until(transport: Transport, answers: int) -> None:
    """Wait for so many answers."""
    async with asyncio.timeout(10):
        while transport.written.count(BODY) < answers:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0)
    assert transport.written.count(BODY) == answers


async def test_very_many_behind_one(
    application: Application, connection: tuple[Protocol, Transport]
) -> None:
    """However many wait behind a slow one, none is answered from within another."""
    protocol, transport = connection
    protocol.data_received(request("/slow") + request("/") * 3_000)
    assert transport.written == b""
    application.go_on.set()
    await until(transport, 3_001)


async def test_full_transport(connection: tuple[Protocol, Transport]) -> None:
    """While the client does not take what was written, no more is."""
    protocol, transport = connection
    protocol.pause_writing()
    protocol.data_received(request("/"))
    await asyncio.sleep(0)
    assert transport.written == b""
    protocol.resume_writing()
    await until(transport, 1)


async def test_date(state: ServerState, connection: tuple[Protocol, Transport]) -> None:
    """Each answer has the headers that the server has at that moment."""
    protocol, transport = connection
    for date in (b"one", b"two"):
        state.default_headers = [(b"date", date)]
        protocol.data_received(request("/"))
        assert transport.written.count(b"date: " + date) == 1


async def test_client_that_goes_away(
    application: Application,
    state: ServerState,
    connection: tuple[Protocol, Transport],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """To a client that is gone nothing is written, also where more of its requests were waiting."""
    protocol, transport = connection
    protocol.data_received(request("/slow") + request("/"))
    transport.close()
    protocol.connection_lost(None)
    application.go_on.set()
    await asyncio.gather(*state.tasks)
    assert transport.written == b""
    assert caplog.records == []
