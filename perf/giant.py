"""A client in a process of its own that PUTs giant transcripts, one after the other."""

import itertools
import json
import multiprocessing
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import NamedTuple, Self

from perf.put import PATH, Conversation

HOST = "127.0.0.1"
KINDS = ("grown", "edited", "replaced")
EDITED = 100
"""The message that `edited` bodies differ in."""

_GROWTH = 5_000
_VARIANTS = 4
_WARM_UP = 4
_HEAD = b'{"messages":['
_TAIL = b'],"memories":[],"user_id":"u7","session_id":"grown","namespace":"n2"}'
_NEXT = b",\r\n"
WAIT_SECONDS = 60


class Body(NamedTuple):
    """A body in pieces, the first seq it changes, and how many messages it has."""

    pieces: Sequence[bytes | memoryview]
    start: int
    size: int


class Order(NamedTuple):
    """
    What to send where.

    ``interval``: seconds from one PUT to the next, 0: without a pause. ``echo``: each answer is
    the transcript. ``floor``: there, answers say nothing, or what was sent.
    """

    port: int
    kind: str
    echo: bool
    interval: float = 0.0
    floor: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, and in how many seconds; ``last``: the messages of the last PUT, as JSON."""

    puts: int
    seconds: float
    last: bytes


class Transcript:
    """The bodies of each kind, made of texts that are rendered once."""

    def __init__(self, size: int) -> None:
        """Render ``size`` messages, and those by which they may grow."""
        self._size = size
        talk = Conversation(size + _GROWTH)
        self._texts = [json.dumps(each, separators=(",", ":")).encode() for each in talk.messages]
        self._ends = list(itertools.accumulate(len(text) + 1 for text in self._texts))
        self._all = b",".join(self._texts)
        first = self._all[: self._ends[size - 1] - 1]
        fills = (bytes([ord("a") + each]) * 8 for each in range(_VARIANTS))
        self._variants = [first.replace(b"x" * 8, fill) for fill in fills]

    def bodies(self, kind: str) -> Iterator[Body]:
        """Return bodies of a kind without end; each is about the one before it."""
        makers = {"grown": self._grown, "edited": self._edited, "replaced": self._replaced}
        return makers[kind]()

    def _grown(self) -> Iterator[Body]:
        view = memoryview(self._all)
        for count in range(self._size, len(self._texts)):
            yield Body((_HEAD, view[: self._ends[count] - 1], _TAIL), count, count + 1)
        raise RuntimeError("the transcript grew out of its texts")

    def _edited(self) -> Iterator[Body]:
        view, at = memoryview(self._all), min(EDITED, self._size // 2)
        end = self._ends[self._size - 1] - 1
        before, after = view[: self._ends[at - 1]], view[self._ends[at] - 1 : end]
        for turn in itertools.count():
            text = self._texts[at].replace(b"xxxxxxxxx", b"%09d" % turn, 1)
            yield Body((_HEAD, before, text, after, _TAIL), at, self._size)

    def _replaced(self) -> Iterator[Body]:
        for variant in itertools.cycle(self._variants):
            yield Body((_HEAD, variant, _TAIL), 0, self._size)


class Streamer:
    """The process, and how it is told what to do."""

    def __init__(self, size: int) -> None:
        """Start it; transcripts have ``size`` messages, `grown` ones more and more."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, size), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        """Give it as it is."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(WAIT_SECONDS)

    def begin(self, order: Order) -> None:
        """Return when the PUTs stream; EOFError: one was answered wrongly."""
        self._pipe.send(order)
        self._pipe.recv()

    def end(self) -> Sent:
        """Return when they no longer do."""
        self._pipe.send(None)
        sent: Sent = self._pipe.recv()
        return sent


def connect(port: int) -> socket.socket:
    """Return a connection to a server of this machine."""
    stream = socket.create_connection((HOST, port), WAIT_SECONDS)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def receive(stream: socket.socket) -> bytes:
    """Return the body of the next answer, which must be a 200."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _some(stream)
    status, _, headers = data[:end].partition(b"\r\n")
    assert b" 200 " in status, data
    length = headers.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    chunks, left = [data[end + 4 :]], int(length) - (len(data) - end - 4)
    while left:
        chunks.append(_some(stream))
        left -= len(chunks[-1])
    return b"".join(chunks)


def _some(stream: socket.socket) -> bytes:
    some = stream.recv(1 << 20)
    if not some:
        raise ConnectionError("the server closed the connection")
    return some


def _serve(pipe: Connection, size: int) -> None:
    transcript = Transcript(size)
    while True:
        try:
            order: Order = pipe.recv()
        except EOFError:
            return
        with connect(order.port) as stream:
            bodies = transcript.bodies(order.kind)
            for body in itertools.islice(bodies, _WARM_UP):
                _put(stream, order, body)
            pipe.send(None)
            puts, began = 0, time.perf_counter()
            for puts, body in enumerate(bodies, 1):
                answer = _put(stream, order, body)
                _check(answer, order, body)
                if pipe.poll(max(0.0, began + puts * order.interval - time.perf_counter())):
                    break
            pipe.recv()
            seconds = time.perf_counter() - began
            pipe.send(Sent(puts, seconds, b"[%b]" % b"".join(body.pieces[1:-1])))


def _put(stream: socket.socket, order: Order, body: Body) -> bytes:
    prefer = b"" if order.echo else b"prefer: return=minimal\r\n"
    stream.sendall(
        b"PUT %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" % PATH.encode()
        + b"%bcontent-length: %d\r\n\r\n" % (prefer, sum(map(len, body.pieces)))
    )
    for piece in body.pieces:
        stream.sendall(piece)
    return receive(stream)


def _check(answer: bytes, order: Order, body: Body) -> None:
    if order.floor:
        right = len(answer) == (sum(map(len, body.pieces)) if order.echo else 2)
    elif order.echo:
        right = answer.count(b'"persisted_at":') == body.size
    else:
        told = json.loads(answer)
        right = (told["start"], told["next"] - told["first"]) == (body.start, body.size)
    assert right, answer[:500]
