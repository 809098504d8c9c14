"""A load generator that costs little: keep-alive connections, requests written in batches."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial


class Client(asyncio.Protocol):
    """Sends requests of one connection, a few ahead, and checks every answer."""

    def __init__(
        self, requests: Sequence[bytes], check: Callable[[int, bytes], None], ahead: int
    ) -> None:
        """Send all of ``requests``; ``check`` gets the number of each and its answer."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._check = check
        self._ahead = ahead
        self._sent = 0
        self._answered = 0
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport), "a stream"
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take whole answers out of the stream, and send as many requests."""
        buffer = self._buffer + data
        at = 0
        while True:
            end = buffer.find(b"\r\n\r\n", at)
            if end < 0:
                break
            length = int(
                buffer[buffer.find(b"content-length: ", at, end) + 16 : end].split(b"\r", 1)[0]
            )
            if len(buffer) < end + 4 + length:
                break
            self._check(self._answered, buffer[at : end + 4 + length])
            at = end + 4 + length
            self._answered += 1
        self._buffer = buffer[at:]
        if self._answered == len(self._requests):
            self._transport.close()
            self.done.set_result(None)
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Say so, if it was not our own doing."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        to = min(self._answered + self._ahead, len(self._requests))
        if to > self._sent:
            self._transport.write(b"".join(self._requests[self._sent : to]))
            self._sent = to


async def drive(
    host: str,
    port: int,
    requests: Sequence[Sequence[bytes]],
    check: Callable[[int, int, bytes], None],
    ahead: int = 8,
) -> float:
    """Send one list of requests per connection; return the requests answered per second."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients = []
    for number, list_ in enumerate(requests):
        make = partial(Client, list_, partial(check, number), ahead)
        _, client = await loop.create_connection(make, host, port)
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    return sum(map(len, requests)) / (time.perf_counter() - began)
