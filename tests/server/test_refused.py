"""What is not HTTP/1.1, and the answers that end a connection."""

import asyncio
import json
import logging
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from memory_cache_server.app import create_app, create_server
from memory_cache_server.logs import Seldom
from memory_cache_server.protocol import Protocol
from memory_cache_server.settings import Settings
from support.connection import Transport, connected
from support.in_process import listening
from support.serving import ServerProcess, end_valkey

GOOD = b"GET /good HTTP/1.1\r\nhost: x\r\n\r\n"
BAD = b"GARBAGE / /\r\n\r\n"
HALF = b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
BROKEN = HALF + b"zz\r\n"


class Application:
    """Answers when it may; what it does at the end of a body is noted."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.heard: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of a POST, wait, answer."""
        path = scope["path"]
        if path == "/early":
            await self._answer(send)
            return
        more = True
        while more:
            message = await receive()
            self.heard.append(message["type"])
            if message["type"] == "http.disconnect":
                return
            more = message["more_body"]
        await self.go_on.wait()
        await self._answer(send, *([(b"connection", b"close")] if path == "/last" else []))

    async def _answer(self, send: Send, *more: tuple[bytes, bytes]) -> None:
        headers = [(b"content-length", b"4"), *more]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"good"})


async def settle() -> None:
    """Let everything happen that waits for nothing."""
    for _ in range(50):
        await asyncio.sleep(0)


def statuses(transport: Transport) -> list[int]:
    """The status of each answer."""
    return [int(answer[:3]) for answer in transport.written.split(b"HTTP/1.1 ")[1:]]


def refusal(transport: Transport) -> dict[str, object]:
    """The error document of the last answer, whose connection ends behind it."""
    head, _, body = transport.written.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert b"\r\ncontent-length: %d" % len(body) in head
    assert transport.ended
    document: dict[str, object] = json.loads(body)
    assert document.keys() - {"applied"} == {"detail", "code", "title", "status"}
    assert (document["code"], document["status"]) == ("malformed_request", 400)
    return document


async def test_alone() -> None:
    """What is not HTTP/1.1 gets the error document, and the connection ends."""
    protocol, transport = connected(Application())
    protocol.data_received(BAD)
    assert "applied" not in refusal(transport)
    assert statuses(transport) == [400]


@pytest.mark.parametrize("pieces", [[GOOD * 3 + BAD], [GOOD, GOOD, GOOD, BAD[:9], BAD[9:]]])
async def test_behind_good_ones(pieces: list[bytes]) -> None:
    """Requests that came before it are answered before it is; what comes behind it is not."""
    application = Application()
    protocol, transport = connected(application)
    for piece in [*pieces, BAD, GOOD]:
        protocol.data_received(piece)
    await settle()
    assert transport.written == b""
    application.go_on.set()
    await settle()
    assert statuses(transport) == [200, 200, 200, 400]
    refusal(transport)
    protocol.data_received(GOOD)
    await settle()
    assert statuses(transport) == [200, 200, 200, 400]


async def test_broken_body() -> None:
    """A body that breaks off in the middle is refused; the application hears that it is gone."""
    application = Application()
    protocol, transport = connected(application)
    protocol.data_received(HALF)
    await settle()
    protocol.data_received(b"zz\r\n")
    await settle()
    assert refusal(transport)["applied"] == "no"
    assert statuses(transport) == [400]
    assert application.heard[-1] == "http.disconnect"


async def test_broken_body_behind_good_ones() -> None:
    """In a row it is refused in its turn, and never begun."""
    application = Application()
    protocol, transport = connected(application)
    protocol.data_received(GOOD * 2 + BROKEN)
    application.go_on.set()
    await settle()
    assert statuses(transport) == [200, 200, 400]
    assert refusal(transport)["applied"] == "no"
    assert application.heard == ["http.request"] * 2


async def test_broken_body_of_what_is_answered() -> None:
    """Where the answer has left already, there is nothing to add to it."""
    protocol, transport = connected(Application())
    protocol.data_received(HALF.replace(b"/body", b"/early"))
    await settle()
    protocol.data_received(b"zz\r\n")
    assert statuses(transport) == [200]
    assert transport.ended


async def test_answer_is_read_before_the_end() -> None:
    """A client that still sends is not cut off: our side ends, its own may go on for a while."""
    protocol, transport = connected(Application())
    protocol.data_received(BAD)
    assert (transport.ended, transport.closed) == (True, False)
    for _ in range(3):
        protocol.data_received(BAD)
    assert statuses(transport) == [400]
    protocol.shutdown()
    protocol.connection_lost(None)


@pytest.mark.parametrize(
    ("path", "header", "finishing", "closed"),
    [
        (b"/last", b"x: y", False, False),
        (b"/last", b"connection: close", False, True),
        (b"/last", b"x: y", True, True),
        (b"/good", b"connection: close", False, True),
        (b"/good", b"x: y", True, True),
    ],
)
async def test_last_answer(path: bytes, header: bytes, *, finishing: bool, closed: bool) -> None:
    """Where we end a connection, a client that did not say so itself may still be sending."""
    application = Application()
    protocol, transport = connected(application)
    protocol.data_received(b"GET %b HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % (path, header))
    if finishing:
        protocol.shutdown()
    application.go_on.set()
    await settle()
    assert (transport.ended, transport.closed) == (True, closed)
    protocol.data_received(GOOD)
    await settle()
    assert statuses(transport) == [200]
    protocol.connection_lost(None)


async def test_log(caplog: pytest.LogCaptureFixture) -> None:
    """However many there are, the log gets a line a minute."""
    with caplog.at_level(logging.DEBUG):
        for _ in range(100):
            application = Application()
            application.go_on.set()
            protocol, _ = connected(application)
            protocol.data_received(GOOD + BAD)
            await settle()
            protocol.connection_lost(None)
    assert len(caplog.records) <= 1


def test_seldom(caplog: pytest.LogCaptureFixture) -> None:
    """The first is said at once, and the next line says how many there were between them."""
    times = [61.0, 60.0, 59.0, 1.0, 0.0]
    say = Seldom(logging.getLogger("seldom"), "it happened", clock=times.pop)
    while times:
        say()
    said = [record.getMessage() for record in caplog.records]
    assert said == ["it happened", "it happened (2 more since the last such line)"]


PATHS = {
    "/v1/working-memory/chat": "DELETE, GET, PATCH, PUT",
    "/v1/working-memory/chat/messages": "GET, POST",
    "/v1/working-memory/a%20b": "DELETE, GET, PATCH, PUT",
    "/v1/working-memory/": "GET",
    "/v1/health": "GET",
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("layers", [create_server, create_app])
async def test_wrong_method(
    valkey_url: str, path: str, layers: Callable[[Settings], ASGIApp]
) -> None:
    """A 405 names every method of the path, with the short ways and without, and is the last."""
    async with (
        listening(valkey_url, layers, http=Protocol) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        for method in ("OPTIONS", "HEAD", "TRACE"):
            response = await http.request(method, path)
            assert (response.status_code, response.headers["allow"]) == (405, PATHS[path])
            assert response.headers["connection"] == "close"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that takes bodies of a kilobyte."""
    folder: Path = tmp_path_factory.mktemp("served") / "d"
    words = "--data-dir", str(folder), "--max-body-bytes", "1000"
    try:
        with ServerProcess(*words, cwd=folder.parent) as running:
            yield running
    finally:
        end_valkey(folder)


def talk(server: ServerProcess, *pieces: bytes) -> list[tuple[int, str]]:
    """Send all of it, then read to the end: status and headers of each answer."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as link:
        for piece in pieces:
            link.sendall(piece)
        with link.makefile("rb") as file:
            got = file.read().decode()
    heads = re.findall(r"HTTP/1\.1 (\d{3}) [^\r]*\r\n(.*?)\r\n\r\n", got, re.DOTALL)
    return [(int(status), head) for status, head in heads]


def test_server_is_not_disturbed(server: ServerProcess) -> None:
    """Behind good requests of all kinds a bad one is answered last; the log has no traceback."""
    body = b'{"messages":[{"role":"user","content":"hi"}]}'
    post = b"POST /v1/working-memory/c/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
    listing = b"GET /v1/working-memory/ HTTP/1.1\r\nhost: x\r\n\r\n"
    hot = b"GET /v1/working-memory/c?recent_messages_limit=2 HTTP/1.1\r\nhost: x\r\n\r\n"
    good = post % (len(body), body) + hot + listing + hot + hot
    for _ in range(3):
        answers = talk(server, good + BAD)
        assert [status for status, _ in answers] == [200] * 5 + [400]
    assert "Traceback" not in server.log()
    assert server.log().count("a client sent what is not HTTP/1.1") <= 1


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"PUT /v1/working-memory/c HTTP/1.1\r\nhost: x\r\n", 413),
        (b"POST /v1/working-memory/c HTTP/1.1\r\nhost: x\r\n", 405),
    ],
)
@pytest.mark.parametrize("chunked", [True, False])
def test_body_that_is_not_read(
    server: ServerProcess, start: bytes, status: int, *, chunked: bool
) -> None:
    """A client that sends all of a large body first gets its answer, and the connection ends."""
    piece = b"x" * 100_000
    if chunked:
        pieces = [b"transfer-encoding: chunked\r\n\r\n", *[b"186a0\r\n%b\r\n" % piece] * 100]
    else:
        pieces = [b"content-length: 10000000\r\n\r\n", *[piece] * 100]
    [(answered, head)] = talk(server, start + pieces[0], *pieces[1:])
    assert answered == status
    assert "connection: close" in head
