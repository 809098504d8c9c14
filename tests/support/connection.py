"""One connection of the server's HTTP protocol without a server: what only a transport can see."""

import asyncio
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from memory_cache_server.protocol import Protocol


class Transport(asyncio.Transport):
    """Keeps what is written; never full by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False
        self.closed = False

    def write(self, data: Any) -> None:  # noqa: ANN401  # as theirs
        """Keep it."""
        assert not self.ended, "written behind the end"
        self.written += data

    def write_eof(self) -> None:
        """Nothing more is written."""
        self.ended = True

    def close(self) -> None:
        """Nothing more is written or read."""
        self.ended = self.closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401, ARG002  # as theirs
        """Nothing is known."""
        return default

    def pause_reading(self) -> None:
        """All is read already."""

    def resume_reading(self) -> None:
        """As above."""

    def abort(self) -> None:
        """It ends with the test."""


def connected(application: ASGIApp, state: ServerState | None = None) -> tuple[Protocol, Transport]:
    """A connection to this application that has just been made, and its transport."""
    config = uvicorn.Config(
        application,
        interface="asgi3",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        ws="none",
    )
    protocol, transport = Protocol(config, state or ServerState(), {}), Transport()
    protocol.connection_made(transport)
    return protocol, transport
