"""Answers that are ready, over real connections: at once, in order, and as the routes give them."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.serving import ServerProcess, end_valkey

HOT = "/v1/working-memory/chat?recent_messages_limit=20"
ROUTED = f"{HOT}&unknown=1"
"""The same question, which the fast path leaves to the routes."""

MANY = 3000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.URL]:
    """The address of a server with one hot session."""
    folder: Path = tmp_path_factory.mktemp("served") / "d"
    messages = [{"role": "user", "content": f"{at} {'x' * 2000}"} for at in range(30)]
    try:
        with ServerProcess("--data-dir", str(folder), cwd=folder.parent) as running:
            with httpx.Client(base_url=running.url) as client:
                client.post("/v1/working-memory/chat/messages", json={"messages": messages})
                while client.get(HOT).headers["cache-status"] != "memory-cache; hit":
                    pass
            yield httpx.URL(running.url)
    finally:
        end_valkey(folder)


class Client:
    """A connection on which bytes are written and answers read."""

    def __init__(self, address: httpx.URL) -> None:
        self.socket = socket.create_connection((address.host, address.port or 80), timeout=20)
        self._file = self.socket.makefile("rb")

    def ask(self, target: str, *more: str, version: str = "1.1", body: bytes = b"") -> None:
        """Send a request."""
        lines = [f"GET {target} HTTP/{version}", "host: x", *more]
        if body:
            lines.append(f"content-length: {len(body)}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and body of the next answer."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return status, headers, self._file.read(int(headers.get("content-length", 0)))

    def ended(self) -> bool:
        """Whether the server has closed the connection."""
        return self._file.read(1) == b""


@pytest.fixture
def client(server: httpx.URL) -> Iterator[Client]:
    """A connection to the server."""
    client = Client(server)
    yield client
    client.socket.close()


def contents(body: bytes) -> list[str]:
    """What the messages of an answer say."""
    return [message["content"].split()[0] for message in json.loads(body)["messages"]]


LAST = [str(at) for at in range(10, 30)]


def test_requests_in_a_row(client: Client) -> None:
    """Of requests that are sent without waiting, ready and routed, each is answered in its turn."""
    for target in (HOT, ROUTED, HOT, HOT, "/v1/health", HOT, ROUTED, HOT):
        client.ask(target)
    for target in (HOT, ROUTED, HOT, HOT, "/v1/health", HOT, ROUTED, HOT):
        status, headers, body = client.answer()
        assert status == 200
        if target == "/v1/health":
            assert "now" in json.loads(body)
        else:
            assert contents(body) == LAST
            assert headers["cache-status"] == "memory-cache; hit"


def test_in_one_piece(client: Client) -> None:
    """Very many requests in one piece are answered, behind one that takes time, too."""
    request = f"GET {HOT} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    slow = f"GET {ROUTED} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    client.socket.sendall(slow + request * 500)
    for _ in range(501):
        assert contents(client.answer()[2]) == LAST


def test_client_that_reads_late(client: Client) -> None:
    """A client that reads nothing for long gets all of it in the end, and stops nobody."""
    request = f"GET {HOT} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    client.socket.settimeout(1)
    sent = 0
    try:
        for _ in range(MANY):
            client.socket.sendall(request)
            sent += 1
    except TimeoutError:
        pytest.fail("a request is short: it must be taken even while answers are not")
    client.socket.settimeout(20)
    for _ in range(sent):
        assert contents(client.answer()[2]) == LAST


@pytest.mark.parametrize("target", [HOT, ROUTED])
def test_last_request(client: Client, target: str) -> None:
    """A connection that is to end does so behind the answer."""
    client.ask(target, "connection: close")
    status, headers, body = client.answer()
    assert (status, headers["connection"], contents(body)) == (200, "close", LAST)
    assert client.ended()


@pytest.mark.parametrize("target", [HOT, ROUTED])
def test_old_client(client: Client, target: str) -> None:
    """HTTP/1.0 is answered, and the connection ends."""
    client.ask(target, version="1.0")
    assert contents(client.answer()[2]) == LAST
    assert client.ended()


def test_body_where_none_is_expected(client: Client) -> None:
    """A GET with a body is answered, and what follows the body is the next request."""
    client.ask(HOT, body=b"x" * 100_000)
    client.ask(HOT)
    assert contents(client.answer()[2]) == contents(client.answer()[2]) == LAST


def test_same_head(client: Client) -> None:
    """A ready answer has the status and headers, in their order, that a routed one has."""
    heads = []
    for target in (HOT, ROUTED):
        client.ask(target)
        status, headers, body = client.answer()
        assert headers.pop("date").endswith("GMT")
        heads.append((status, list(headers.items()), body))
    assert heads[0] == heads[1]


@pytest.mark.parametrize(
    "target",
    [
        f"/v1/working-memory/{'a' * 513}?recent_messages_limit=20",
        f"{HOT}&namespace={'n' * 513}",
    ],
)
def test_name_that_is_none(client: Client, target: str) -> None:
    """A name that the library refuses gets the routes' words, also in a row with others."""
    for each in (HOT, target, "/v1/health", target, target, HOT):
        client.ask(each)
    statuses = [client.answer() for _ in range(6)]
    assert [status for status, _, _ in statuses] == [200, 422, 200, 422, 422, 200]
    client.ask(f"{target}&unknown=1")
    assert client.answer()[2] == statuses[1][2]


def test_not_modified(client: Client) -> None:
    """Who has the answer is told so at once, without a body."""
    client.ask(HOT)
    etag = client.answer()[1]["etag"]
    client.ask(HOT, f"if-none-match: {etag}")
    client.ask(HOT)
    status, headers, _ = client.answer()
    assert (status, headers["etag"]) == (304, etag)
    assert contents(client.answer()[2]) == LAST
