"""The story's client: a wrong answer must not pass for a right one, nor a part for the whole."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from support.project import ROOT

WAIT_SECONDS = 10
PATH = "/v1/working-memory/chat"


def load(name: str) -> ModuleType:
    """Load a module of the story from the checkout: `perf` itself is not installed."""
    spec = spec_from_file_location(f"story1_{name}", ROOT / "perf" / "story1" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


wire, talk = load("wire"), load("talk")


@contextmanager
def server(*connections: Callable[[socket.socket], None]) -> Iterator[str]:
    """Give the address of a server that treats each connection so, one after the other."""
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            for each in connections:
                accepted, _ = listener.accept()
                with accepted:
                    each(accepted)
        except BaseException as error:  # noqa: BLE001  # told by the test, not by the thread
            failed.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_SECONDS)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(WAIT_SECONDS)
    assert not failed, failed


def answering(*answers: list[bytes]) -> Callable[[socket.socket], None]:
    """Return what takes one request after the other and sends pieces."""

    def treat(connection: socket.socket) -> None:
        connection.settimeout(WAIT_SECONDS)
        for pieces in answers:
            received(connection)
            for piece in pieces:
                connection.sendall(piece)

    return treat


def received(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return the head and the body of one request."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += connection.recv(65536)
    head, _, body = text.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    while len(body) < int(length or 0):
        body += connection.recv(65536)
    return head, body


def answer(body: bytes) -> bytes:
    """Return an answer on the wire."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_an_answer_in_pieces_is_put_together() -> None:
    """Pieces end anywhere: in the head, at its end, in the body; a long one grows the buffer."""
    long = b"x" * (3 * wire.FIRST_BYTES)
    text = answer(long)
    cuts = [0, 5, 17, text.index(b"\r\n\r\n") + 2, text.index(b"xx") + 1, wire.FIRST_BYTES]
    pieces = [text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]
    with server(answering(pieces, [answer(b"short")])) as address:
        connection = wire.Connection(address)
        status, buffer, begin, end = connection.ask("GET", PATH)
        assert (status, bytes(buffer[begin:end])) == (200, long)
        status, buffer, begin, end = connection.ask("GET", PATH)
        assert (status, bytes(buffer[begin:end])) == (200, b"short")
        connection.close()


def test_a_long_body_arrives_as_it_was() -> None:
    """A body that no socket's buffer holds is sent whole, from where it lies."""
    chat = talk.Talk("chat")
    chat.grow(20_000)
    seen: list[bytes] = []

    def treat(connection: socket.socket) -> None:
        head, body = received(connection)
        assert head.startswith(b"PUT " + PATH.encode())
        seen.append(body)
        connection.sendall(answer(b"{}"))

    with server(treat) as address:
        connection = wire.Connection(address)
        assert connection.ask("PUT", PATH, chat.whole).status == 200
        connection.close()
    assert seen == [chat.body()]


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Le"], ConnectionError),
        ([answer(b"twelve bytes")[:-1]], ConnectionError),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], ValueError),
        ([answer(b"one") + answer(b"too many")], ValueError),
        ([b"SSH-2.0 \r\ncontent-length: 0\r\n\r\n"], ValueError),
        ([b"x" * 70_000], ValueError),
    ],
    ids=["part of a head", "part of a body", "no length", "more than one", "not HTTP", "no end"],
)
def test_what_is_no_whole_answer_is_an_error(pieces: list[bytes], error: type[Exception]) -> None:
    """It raises, and the next request has a connection of its own."""
    with server(answering(pieces), answering([answer(b"again")])) as address:
        connection = wire.Connection(address)
        with pytest.raises(error):
            connection.ask("GET", PATH)
        _, buffer, begin, end = connection.ask("GET", PATH)
        assert buffer[begin:end] == b"again"
        connection.close()


def test_what_rested_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that the server may close any moment is not used again."""
    with server(answering([answer(b"one")]), answering([answer(b"two")])) as address:
        connection = wire.Connection(address)
        connection.ask("GET", PATH)
        monkeypatch.setattr(wire, "IDLE_SECONDS", 0.0)
        _, buffer, begin, end = connection.ask("GET", PATH)
        assert buffer[begin:end] == b"two"
        connection.close()


def test_only_the_whole_transcript_is_right() -> None:
    """Less, more or other messages are wrong, also where an older answer left the right bytes."""
    chat = talk.Talk("chat")
    chat.grow(30)
    full = chat.body()
    assert chat.whole_is_right(full)
    assert not chat.last_is_right(full)
    cut = full.index(b"],") + 1
    assert not chat.whole_is_right(full, 0, cut)
    assert not chat.whole_is_right(full.replace(b"0000007", b"0000008"))
    other = talk.Talk("chat")
    other.grow(31)
    assert not chat.whole_is_right(other.body())
    assert not other.whole_is_right(full)
    padded = b"head" + full
    assert chat.whole_is_right(padded, 4, len(padded))
    assert not chat.whole_is_right(padded, 0, len(padded))


def test_only_the_last_twenty_are_right() -> None:
    """One that is missing, or one too many, is wrong."""
    chat, short = talk.Talk("chat"), talk.Talk("chat")
    chat.grow(30)
    short.grow(19)
    last = b'{"messages":[' + b",".join(talk.message("chat", seq) for seq in range(10, 30)) + b"],"
    assert chat.last_is_right(last)
    assert not chat.last_is_right(last, 0, len(last) - 1)
    assert not chat.last_is_right(last.replace(b"0000010", b"0000011"))
    assert short.last_is_right(short.body())
    assert not chat.last_is_right(short.body())


def test_an_append_is_right_where_it_belongs() -> None:
    """The answer says where the message came: one earlier or later is wrong."""
    chat = talk.Talk("chat", kept=False)
    chat.grow(30)
    assert chat.appended_is_right(b'{"start":29,"end":30,"version":"v"}')
    assert not chat.appended_is_right(b'{"start":29,"end":31,"version":"v"}')
    assert not chat.appended_is_right(b'{"start":29,"end":30,"version":"v"}', 0, 14)
