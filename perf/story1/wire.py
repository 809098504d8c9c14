"""
HTTP as far as the story needs it, for Locust: one connection, one question at a time.

Locust's own clients keep cookies, take addresses and headers apart for each request, and read
answers in pieces of 4 KB. That takes more of a processor than the fastest servers here, so that one
would measure Locust. Here a request costs little more than its bytes do, whoever answers it.

Nothing here may import asyncio: Locust makes the socket wait for gevent.
"""

import re
import socket
import time
from typing import NamedTuple
from urllib.parse import urlsplit

WAIT_SECONDS = 60.0
IDLE_SECONDS = 4.0
"""A connection that rested longer is opened anew: servers close one after five."""
FIRST_BYTES = 64 * 1024
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Answer(NamedTuple):
    """A status, and a body: bytes ``[begin, end)`` of a buffer, until the next request."""

    status: int
    buffer: bytearray
    begin: int
    end: int


class Connection:
    """A connection to one server, opened when it is needed, and again after an error."""

    def __init__(self, address: str) -> None:
        """Do not connect yet."""
        parts = urlsplit(address)
        self._there = (parts.hostname, parts.port or 80)
        self._host = parts.netloc
        self._socket: socket.socket | None = None
        self._used = 0.0
        self._buffer = bytearray(FIRST_BYTES)

    def ask(self, method: str, path: str, body: bytes | bytearray = b"") -> Answer:
        """
        Send a request and return its answer.

        Raises:
            OSError: there was none, or only a part.
            ValueError: it is not HTTP with the length said first, which is all that is read here.
        """
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        try:
            link = self._open()
            _send(link, f"{head}\r\n".encode(), body)
            answer = self._receive(link)
        except BaseException:
            self.close()
            raise
        self._used = time.monotonic()
        return answer

    def close(self) -> None:
        """Let the connection go, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        if self._socket is not None and time.monotonic() - self._used > IDLE_SECONDS:
            self.close()
        if self._socket is None:
            self._socket = socket.create_connection(self._there, WAIT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _receive(self, link: socket.socket) -> Answer:
        buffer, filled = self._buffer, 0
        while (end := buffer.find(_HEAD_END, 0, filled)) < 0:
            filled += self._read(link, filled)
        length = _LENGTH.search(buffer, 0, end)
        if not buffer.startswith(b"HTTP/1.1 ") or length is None:
            raise ValueError(f"not an answer of a known length: {bytes(buffer[:end])!r}")
        begin = end + len(_HEAD_END)
        end = begin + int(length[1])
        if end > len(buffer):
            buffer.extend(bytes(end - len(buffer)))
        while filled < end:
            filled += self._read(link, filled)
        if filled > end:
            raise ValueError(f"{filled - end} bytes after the answer")
        return Answer(int(buffer[9:12]), buffer, begin, end)

    def _read(self, link: socket.socket, filled: int) -> int:
        with memoryview(self._buffer) as whole, whole[filled:] as rest:
            if not rest:
                raise ValueError("a head without an end")
            count = link.recv_into(rest)
        if not count:
            raise ConnectionError("closed before the end of the answer")
        return count


def _send(link: socket.socket, head: bytes, body: bytes | bytearray) -> None:
    sent = link.sendmsg([head, body]) - len(head)
    if sent < 0:
        raise ConnectionError("not even the head could be sent")
    if sent < len(body):
        with memoryview(body) as whole, whole[sent:] as rest:
            link.sendall(rest)
