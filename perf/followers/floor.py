"""
The floor under live tails: a raw ASGI application that sends events it makes up by the clock.

Message ``n`` of session ``s`` is due at ``begin + (n * sessions + s) / rate``, so any worker can
say what a follower has missed, and nobody has to be asked. There is no framework, store, bus, or
task for each stream; nor does another worker start when one was killed.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections import defaultdict
from typing import Any, Final

import uvicorn
import uvloop

from perf.followers.client import MESSAGE

WORKERS: Final = 2
_HEADERS: Final = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
_BEGIN: Final = b"retry: 100\n\n"


class Made:
    """Events made up by the clock, and who follows them."""

    def __init__(self, sessions: int, rate: int, seconds: int, begin: float) -> None:
        """Begin at a time of CLOCK_MONOTONIC."""
        self._sessions = sessions
        self._rate = rate
        self._end = rate * seconds
        self._begin = begin
        self._next = 0
        self._sends: defaultdict[int, dict[Any, None]] = defaultdict(dict)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  # ASGI
        """Follow one session until the client goes."""
        session = int(scope["path"].split("/")[3][1:])
        last = next((value for name, value in scope["headers"] if name == b"last-event-id"), b"-1")
        first = b"" if int(last) >= 0 else b"id: -1\nevent: following\ndata: {}\n\n"
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send(_body(_BEGIN + first))
        told = -(-(self._next - session) // self._sessions)
        for n in range(int(last) + 1, told):
            await send(_body(self._event(session, n)))
        self._sends[session][send] = None
        while (await receive())["type"] != "http.disconnect":
            pass
        del self._sends[session][send]

    async def tell(self) -> None:
        """Send each event when it is due."""
        while self._next < self._end:
            due = self._begin + self._next / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            n, session = divmod(self._next, self._sessions)
            self._next += 1
            event = _body(self._event(session, n))
            for send in list(self._sends[session]):
                await send(event)

    def _event(self, session: int, n: int) -> bytes:
        at = self._begin + (n * self._sessions + session) / self._rate
        message = MESSAGE % (n, at)
        return b'id: %d\nevent: message\ndata: {"seq":%d,"message":%b}\n\n' % (n, n, message)


def _body(text: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text, "more_body": True}


async def _serve(made: Made, listener: socket.socket) -> None:
    config = uvicorn.Config(
        made.app,
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="off",
        loop="none",
        log_level="warning",
        access_log=False,
    )
    telling = asyncio.create_task(made.tell())
    await uvicorn.Server(config).serve(sockets=[listener])
    await telling


def main() -> None:
    """Serve with two workers on a free port; print the port, and the workers' process ids."""
    sessions, rate, seconds, begin = sys.argv[1:]
    made = Made(int(sessions), int(rate), int(seconds), float(begin))
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    workers = []
    for _ in range(WORKERS):
        pid = os.fork()
        if not pid:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(made, listener))
            return
        workers.append(pid)
    print(json.dumps([listener.getsockname()[1], *workers]), flush=True)
    for pid in workers:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
