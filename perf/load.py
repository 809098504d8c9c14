"""A load generator that costs little: keep-alive connections, answers that are only compared."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial


class Client(asyncio.Protocol):
    """Sends requests of one connection, each when the last is answered, and checks the answers."""

    def __init__(self, requests: Sequence[bytes], check: Callable[[int, bytes], None]) -> None:
        """Send all of ``requests``; ``check`` gets the number of each and its answer."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._check = check
        self._answered = 0
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport), "a stream"
        self._transport = transport
        self._transport.write(self._requests[0])

    def data_received(self, data: bytes) -> None:
        """Take the answer once it is whole, and ask on."""
        buffer = self._buffer = self._buffer + data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = int(buffer[buffer.find(b"content-length: ", 0, end) + 16 : end].split(b"\r", 1)[0])
        if len(buffer) < end + 4 + length:
            return
        self._check(self._answered, buffer)
        self._buffer = b""
        self._answered += 1
        if self._answered == len(self._requests):
            self._transport.close()
            self.done.set_result(None)
        else:
            self._transport.write(self._requests[self._answered])

    def connection_lost(self, error: Exception | None) -> None:
        """Say so, if it was not our own doing."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))


async def drive(
    host: str,
    port: int,
    requests: Sequence[Sequence[bytes]],
    check: Callable[[int, int, bytes], None],
) -> float:
    """Send one list of requests per connection; return the requests answered per second."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients = []
    for number, list_ in enumerate(requests):
        make = partial(Client, list_, partial(check, number))
        _, client = await loop.create_connection(make, host, port)
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    return sum(map(len, requests)) / (time.perf_counter() - began)
