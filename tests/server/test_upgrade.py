"""Requests that ask for another protocol are answered as if they did not, body and all."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from support.connection import Transport, connected

BODY = b'{"messages":[{"role":"user","content":"hi"}]}'
PLAIN = b"GET /next HTTP/1.1\r\nhost: x\r\n\r\n"


class Echo:
    """Answers with the body, and keeps the scopes it was asked with."""

    def __init__(self) -> None:
        self.asked: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer when the whole body is there."""
        self.asked.append(scope)
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        answer = b"<%b %b>" % (scope["path"].encode(), body)
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def chunked(body: bytes) -> bytes:
    """A body in chunks of seven bytes."""
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def offering(
    *lines: bytes, offer: bytes = b"Upgrade: h2c", version: bytes = b"1.1", body: bytes = BODY
) -> bytes:
    """A request as Java's client sends it first, with more lines in its head."""
    head = [
        b"POST /first HTTP/" + version,
        b"Connection: Upgrade, HTTP2-Settings",
        b"Host: x",
        b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAA",
        offer,
        b"User-Agent: Java-http-client/21",
        *lines,
    ]
    return b"\r\n".join((*head, b"", body))


LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"


async def answers(transport: Transport, *bodies: bytes) -> None:
    """Wait until just these are answered, in this order."""
    async with asyncio.timeout(10):
        while transport.written.count(b">") < len(bodies):  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0)
    found = [answer.partition(b">")[0] for answer in transport.written.split(b"<")[1:]]
    assert found == list(bodies)
    assert transport.written.count(b"HTTP/1.1 200 ") == len(bodies)


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """The data in two pieces, for each place between two bytes; and each byte alone."""
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(offering(LENGTH), id="length"),
        pytest.param(offering(CHUNKED, body=chunked(BODY)), id="chunked"),
        pytest.param(offering(LENGTH, offer=b"upgrade:h2c"), id="lower-case"),
        pytest.param(offering(LENGTH, offer=b"UPGRADE: \t h2c, websocket"), id="upper-case"),
    ],
)
async def test_cut_anywhere(request_: bytes) -> None:
    """However a request that offers h2c is cut, its body is whole, and the next one is answered."""
    for pieces in cuts(request_ + PLAIN):
        application = Echo()
        protocol, transport = connected(application)
        for piece in pieces:
            protocol.data_received(piece)
        await answers(transport, b"/first " + BODY, b"/next ")
        first, _ = application.asked
        assert b"upgrade" not in dict(first["headers"])
        assert dict(first["headers"])[b"user-agent"] == b"Java-http-client/21"


@pytest.mark.parametrize(
    "request_",
    [
        offering(LENGTH, version=b"1.0"),
        offering(LENGTH, b"Connection: close, Upgrade"),
    ],
)
async def test_last_on_its_connection(request_: bytes) -> None:
    """Nor is the body lost where the connection ends behind it."""
    protocol, transport = connected(Echo())
    protocol.data_received(request_)
    await answers(transport, b"/first " + BODY)


async def test_body_that_comes_later() -> None:
    """A request is given to the application at its head, which waits for the body."""
    application = Echo()
    protocol, transport = connected(application)
    head, _, body = offering(LENGTH).partition(b"\r\n\r\n")
    protocol.data_received(head + b"\r\n\r\n")
    await asyncio.sleep(0)
    assert len(application.asked) == 1
    assert transport.written == b""
    protocol.data_received(body)
    await answers(transport, b"/first " + BODY)


async def test_many_offers_in_a_row() -> None:
    """Each of many in one piece is answered once, in its turn."""
    protocol, transport = connected(Echo())
    protocol.data_received((offering(LENGTH) + PLAIN) * 300)
    await answers(transport, *([b"/first " + BODY, b"/next "] * 300))


async def test_no_body() -> None:
    """Without a body it is a request like others."""
    protocol, transport = connected(Echo())
    protocol.data_received(offering(body=b"") + PLAIN)
    await answers(transport, b"/first ", b"/next ")


async def test_web_socket(caplog: pytest.LogCaptureFixture) -> None:
    """A WebSocket's handshake is answered as the same GET without it, and not a word is logged."""
    application = Echo()
    protocol, transport = connected(application)
    handshake = b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    protocol.data_received(PLAIN[:-2] + handshake + b"sec-websocket-key: eA==\r\n\r\n")
    await answers(transport, b"/next ")
    assert not transport.ended
    assert caplog.text == ""


@pytest.mark.parametrize("target", [b"elsewhere:443", b"/path", b"http://elsewhere/"])
async def test_connect(target: bytes) -> None:
    """A tunnel is refused, and what would go through it is not read as requests."""
    application = Echo()
    protocol, transport = connected(application)
    protocol.data_received(b"CONNECT %b HTTP/1.1\r\nhost: x\r\n\r\n" % target + PLAIN)
    protocol.data_received(PLAIN)
    async with asyncio.timeout(10):
        while not transport.ended:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0)
    assert transport.written.count(b"HTTP/1.1 ") <= 2
    assert transport.written.endswith(b'"status":400}')
    assert "/next" not in [scope["path"] for scope in application.asked]
