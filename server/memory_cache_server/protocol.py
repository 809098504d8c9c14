"""HTTP/1.1 on one connection: uvicorn's protocol, and the three things that it does otherwise."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from memory_cache_server.event_stream import ABORT
from memory_cache_server.fast_path import ASKED, Answer

_OFFER: Final = b"\r\nUpgrade: h2c\r\n"
_PASSED_OVER: Final = b"\r\nIgnored: h2c\r\n"


class Protocol(HttpToolsProtocol):
    """
    Answers at once what is ready: a task for it would cost more than the answer.

    Lets an answer close its connection, where the client does not take what was sent.

    And keeps the bodies of requests that offer h2c, as the first of Java's client do. An offer may
    be passed over (RFC 9110, 7.8), but the parser ends the message at its head then, and the body
    is lost. So it is shown another name of the same length; a JSON text cannot hold this line.
    """

    _at_once: Callable[[Scope], Answer | None] | None
    _defaults: list[tuple[bytes, bytes]] | None = None
    _default_bytes = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as theirs
        """Begin; the application may have a function of its scopes that gives ready answers."""
        super().connection_made(transport)
        self._at_once = getattr(self.app, "at_once", None)

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if _OFFER in data:
            data = data.replace(_OFFER, _PASSED_OVER)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["state"][ABORT] = self.transport.abort

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # With more requests waiting, each ready answer would be given from within the one before.
        # A uvicorn that does not call this gives each request its task.
        answer = None
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

    def _default_headers(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        # uvicorn makes a new list each second, for the date.
        if headers is not self._defaults:
            self._defaults = headers
            self._default_bytes = b"".join(b"%b: %b\r\n" % header for header in headers)
        return self._default_bytes
