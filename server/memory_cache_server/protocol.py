"""
HTTP/1.1 on one connection: uvicorn's protocol, and what it does otherwise.

Of uvicorn it uses what is not documented: `uvicorn_hooks` lists that, and looks for it at start.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from memory_cache_server.errors import Problem
from memory_cache_server.event_stream import ABORT
from memory_cache_server.fast_path import ASKED, Answer
from memory_cache_server.logs import Seldom

LINGER_SECONDS: Final = 5.0
"""How long a client that still sends may take to read the answer that ends its connection."""

_MALFORMED: Final = Problem(
    400, "malformed_request", "Malformed request", "This is not HTTP/1.1; the connection is closed"
)
_NOBODY: Final[Scope] = {"type": "http", "method": "", "path": ""}
"""The scope of a request whose head could not be read."""

_complain: Final = Seldom(logging.getLogger(__name__), "a client sent what is not HTTP/1.1")


class _Outlet(NamedTuple):
    """What a request needs of its transport."""

    write: Callable[[bytes], None]
    is_closing: Callable[[], bool]
    close: Callable[[], None]


async def _malformed(*_: object) -> None:
    """Stand in the pipeline for a request that is none; see ``_start_asgi_task``."""
    raise NotImplementedError


class Protocol(HttpToolsProtocol):
    """
    Answers at once what is ready: a task for it would cost more than the answer.

    Lets an answer close its connection, where the client does not take what was sent.

    Passes over every ``Upgrade`` (RFC 9110, 7.8), as if that header were not there. The parser ends
    such a message at its head, and the body would be lost; Java's client offers h2c by default.

    Answers what is not HTTP/1.1 in its turn, behind the answers to the requests before it.

    Does not reset a connection under an answer that the client, still sending, has not read yet.

    Tells each request of a client that went away, also one with others behind it.
    """

    _at_once: Callable[[Scope], Answer | None] | None
    _defaults: list[tuple[bytes, bytes]] | None = None
    _default_bytes = b""
    _refused = False
    """No more is read: the last that was is not HTTP/1.1."""
    _running: RequestResponseCycle | None = None
    """The request that is being answered, or was last; uvicorn knows the one that was last read."""
    _may_go_on = False
    """Whether the client may send more behind that one, for all that it said itself."""
    _finishing = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as theirs
        """Begin; the application may have a function of its scopes that gives ready answers."""
        super().connection_made(transport)
        self._at_once = getattr(self.app, "at_once", None)
        self._outlet = _Outlet(transport.write, transport.is_closing, self._end)
        self._lingers: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        if self._lingers is not None:
            self._lingers.cancel()

    def shutdown(self) -> None:
        """End it when what is being answered is; the server does not wait for clients then."""
        self._finishing = True
        super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        self._unset_keepalive_if_required()
        if self._lingers is not None:
            return None
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._should_upgrade():
                    return self._refuse()  # behind a CONNECT comes another protocol
                rest = memoryview(rest)[upgrade.args[0] :]
                self._pass_over()
            except httptools.HttpParserError:
                return self._refuse()
            else:
                return None

    def _should_upgrade(self) -> bool:
        # Asked only where there is an Upgrade, or a CONNECT. uvicorn leaves the request alone then,
        # and `_pass_over` brings it once more.
        return self.scope["method"] != "CONNECT"

    def _pass_over(self) -> None:
        """Parse the head again, without its Upgrade; the rest of the message follows."""
        method, version = self.scope["method"].encode(), self.scope["http_version"].encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        # The old one may take the connection for ended.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"\r\n".join((*lines, b"", b"")))

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["state"][ABORT] = self.transport.abort

    def _start_asgi_task(
        self, cycle: RequestResponseCycle, app: Callable[..., Awaitable[None]]
    ) -> None:
        # With more requests waiting, each ready answer would be given from within the one before.
        answer = None
        self._running, self._may_go_on = cycle, cycle.keep_alive
        if (
            self._at_once is not None
            and app is self.app
            and cycle.keep_alive
            and not self.flow.write_paused
            and not self.pipeline
        ):
            scope = cast("Scope", cycle.scope)
            answer = self._at_once(scope)
            scope["state"][ASKED] = True
        if answer is None:
            if app is _malformed:
                self._answer_malformed(cycle)
                return
            cycle.transport = cast("asyncio.Transport", self._outlet)
            super()._start_asgi_task(cycle, app)
            return
        # What uvicorn's `send` does for the two messages, without looking at each header again.
        self.transport.write(
            b"".join(
                (
                    STATUS_LINE[answer.start["status"]],
                    self._default_headers(cycle.default_headers),
                    answer.head,
                    answer.end["body"],
                )
            )
        )
        cycle.response_started = cycle.response_complete = True
        cycle.on_response()

    def _refuse(self) -> None:
        """Read no more; answer what is not HTTP/1.1 when all before it is answered."""
        if self._refused:
            return
        self._refused = True
        _complain()
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and cycle.scope is self.scope and cycle.more_body:
            self._refuse_body(cycle)
        elif cycle is None or cycle.response_complete:
            self._answer_malformed(cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, _malformed))

    def _refuse_body(self, cycle: RequestResponseCycle) -> None:
        # Its head was good, but it will never be whole: who reads the body hears that at once.
        cycle.disconnected = True
        cycle.message_event.set()
        if self.pipeline:
            self.pipeline[0] = (cycle, _malformed)
        elif cycle.response_started:
            self._end()
        else:
            self._answer_malformed(cycle)

    def _answer_malformed(self, cycle: RequestResponseCycle | None) -> None:
        scope = cycle.scope if cycle is not None and cycle.disconnected else _NOBODY
        answer = _MALFORMED.response(cast("Scope", scope))
        head = b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers)
        defaults = self._default_headers(self.server_state.default_headers)
        lines = STATUS_LINE[400], defaults, head, b"connection: close\r\n\r\n", answer.body
        self.transport.write(b"".join(lines))
        self._end()

    def _end(self) -> None:
        """
        Close the connection behind the last answer.

        Closed with bytes unread it would be reset, and a client that still sends might never see
        the answer: so only our side is closed, until the other one is or `LINGER_SECONDS` are over.
        What still arrives is thrown away (RFC 9112, 9.6).
        """
        self.pipeline.clear()
        if self.transport.is_closing():
            return
        may_go_on = self._may_go_on and not self._finishing
        if self._lingers is None and (self._refused or self.cycle.more_body or may_go_on):
            self.flow.resume_reading()
            self.transport.write_eof()
            self._lingers = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()

    def _default_headers(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        # uvicorn makes a new list each second, for the date.
        if headers is not self._defaults:
            self._defaults = headers
            self._default_bytes = b"".join(b"%b: %b\r\n" % header for header in headers)
        return self._default_bytes
