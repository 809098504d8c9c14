"""
One worker process: an event loop that answers requests on the socket it inherits.

It loads what it needs, then waits for its order. Its standard input brings one line, what to serve
(`Order`); the end of that input is the order to finish: the supervisor closes it, or dies. Its
standard output takes one line, ``ready`` or ``error <why>``, and after ``ready`` a dot now and
then, from the event loop: as long as that turns, the worker lives. Whatever else is printed goes to
the log.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from typing import Literal

import uvicorn
import uvloop
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

from memory_cache import MemoryCacheError
from memory_cache_server import logs, uvicorn_hooks
from memory_cache_server.app import create_server, load_counter
from memory_cache_server.event_stream import FINISHING
from memory_cache_server.fast_path import FastPath
from memory_cache_server.settings import Settings

COULD_NOT_START = 3

_log = logging.getLogger("memory_cache_server.worker")  # runs as __main__


class Order(BaseModel):
    """
    What a worker is to serve.

    ``listener``: the descriptor of the listening socket it inherits. ``beat_seconds``: how often
    it is to give a sign of life; 0: never.
    """

    settings: Settings
    listener: int
    beat_seconds: float


class _Application:
    """The application; keeps the error its lifespan ended with, which uvicorn would only print."""

    def __init__(self, app: FastPath) -> None:
        self.failure: Exception | None = None
        self.at_once = app.answer
        self._finishing: asyncio.Future[None] | None = None
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> object:
        """Hand a request on without a frame of our own in its way."""
        if scope["type"] == "lifespan":
            return self._lifespan(scope, receive, send)
        return self._app(scope, receive, send)

    def finish(self) -> None:
        """End the answers that have no end of their own."""
        if self._finishing is not None and not self._finishing.done():
            self._finishing.set_result(None)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def without_traceback(message: Message) -> None:
            await send({"type": message["type"]})

        self._finishing = scope["state"][FINISHING] = asyncio.get_running_loop().create_future()
        try:
            await self._app(scope, receive, without_traceback)
        except Exception as error:
            self.failure = error
            raise


class _Server(uvicorn.Server):
    """Says when it is ready; `finish` ends it as a signal would."""

    def __init__(
        self,
        config: uvicorn.Config,
        channel: int,
        application: _Application,
        beat_seconds: float,
    ) -> None:
        super().__init__(config)
        self._channel = channel
        self._application = application
        self._beat_seconds = beat_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _settle()
        # Long transcripts come and go by the ten thousand objects; to look through all that is
        # held each time stops the worker for 70 ms, and none of it is in cycles.
        gc.set_threshold(700, 10, 1_000)
        _say(self._channel, "ready\n")
        if self._beat_seconds:
            self._beat()

    def _beat(self) -> None:
        _say(self._channel, ".")
        asyncio.get_running_loop().call_later(self._beat_seconds, self._beat)

    def finish(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # It waits for every answer to be complete; of those without an end none would be.
        self._application.finish()
        await super().shutdown(sockets)


def main() -> int:
    """Serve until told to finish; 0, or `COULD_NOT_START` with the reason on the channel."""
    channel = _claim_stdout()
    # uvicorn raises the signal that ended it once more at its end, which is to be no failure.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    load_counter()
    _settle()
    line = sys.stdin.buffer.readline()
    if not line:
        return 0  # a spare one that was not needed
    order = Order.model_validate_json(line)
    logs.configure(order.settings.log_level)
    failure: Exception | None = None
    try:
        application = _Application(create_server(order.settings))
        configuration = _configuration(application, order.settings)
        server = _Server(configuration, channel, application, order.beat_seconds)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(server, order.listener))
    except SystemExit:
        failure = application.failure
    except Exception as error:  # noqa: BLE001  whatever it is, it goes to the supervisor
        failure = error
    else:
        return 0
    if not isinstance(failure, MemoryCacheError):
        _log.error("could not start", exc_info=failure)
    words = " ".join(f"error {type(failure).__name__}: {failure}".splitlines())
    _say(channel, f"{words}\n")
    return COULD_NOT_START


def _settle() -> None:
    """Let what is there now stay: to look through it again and again costs 3 % of all hot reads."""
    gc.collect()
    gc.freeze()


async def _serve(server: _Server, listener: int) -> None:
    loop = asyncio.get_running_loop()

    def input_ended() -> None:
        loop.remove_reader(sys.stdin)
        server.finish()

    loop.add_reader(sys.stdin, input_ended)
    await server.serve(sockets=[socket.socket(fileno=listener)])


def _configuration(app: _Application, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        interface="asgi3",
        http=_protocol(),
        ws="none",
        lifespan="on",
        loop="none",
        log_config=None,
        log_level="warning",  # what it does, we say ourselves
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=settings.grace_seconds,
    )


def _protocol() -> type[asyncio.Protocol] | Literal["auto"]:
    """Return what talks HTTP on a connection: uvicorn's own, where ours cannot stand on it."""
    missing = uvicorn_hooks.missing()
    if missing:
        _log.warning(
            "uvicorn %s has no %s: its own protocol serves; hot reads are slower, and a request"
            " that offers h2c loses its body",
            uvicorn.__version__,
            ", ".join(missing),
        )
        return "auto"
    from memory_cache_server.protocol import Protocol  # noqa: PLC0415  # cannot be without these

    return Protocol


def _claim_stdout() -> int:
    channel = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.set_blocking(channel, False)
    return channel


def _say(channel: int, text: str) -> None:
    # Nobody is left to hear it, or it stands still and what was said before fills the pipe.
    with contextlib.suppress(BrokenPipeError, BlockingIOError):
        os.write(channel, text.encode())


if __name__ == "__main__":
    sys.exit(main())
