"""
What `protocol` uses of uvicorn beyond its documentation, and whether it is there.

pyproject.toml holds uvicorn to the minor versions that were tried; this looks at the one installed.
"""

import asyncio
import contextlib
import importlib
import inspect
from collections.abc import Iterator
from typing import Any, Final

import httptools
import uvicorn
from uvicorn.server import ServerState

_MODULE: Final = "uvicorn.protocols.http.httptools_impl"
_PROTOCOL: Final = "HttpToolsProtocol"

_METHODS: Final = {
    "__init__": ("self", "config", "server_state", "app_state", "_loop"),
    "connection_made": ("self", "transport"),
    "connection_lost": ("self", "exc"),
    "data_received": ("self", "data"),
    "on_message_begin": ("self",),
    "_should_upgrade": ("self",),
    "_start_asgi_task": ("self", "cycle", "app"),
    "_unset_keepalive_if_required": ("self",),
    "shutdown": ("self",),
}
"""Methods of the protocol, and what they are called with."""

_FIELDS: Final = {
    "": ("app", "cycle", "flow", "headers", "loop", "parser", "pipeline", "scope", "server_state"),
    "flow.": ("write_paused", "pause_reading", "resume_reading"),
    "server_state.": ("default_headers",),
    "cycle.": (
        "default_headers",
        "disconnected",
        "keep_alive",
        "message_event",
        "more_body",
        "on_response",
        "response_complete",
        "response_started",
        "scope",
        "transport",
    ),
}
"""What a protocol has while it reads a request."""

_REQUEST: Final = b"GET / HTTP/1.1\r\nhost: x\r\n"
_UPGRADE: Final = b"connection: upgrade\r\nupgrade: h2c\r\n"
_LAST: Final = b"connection: close\r\n"


def missing() -> list[str]:
    """Return what is not there, or is called otherwise; nothing, if all is as it should be."""
    try:
        module = importlib.import_module(_MODULE)
    except ImportError:
        return [_MODULE]
    lacking = [name for name in ("STATUS_LINE", _PROTOCOL) if not hasattr(module, name)]
    if lacking:
        return lacking
    protocol = getattr(module, _PROTOCOL)
    return list(_methods(protocol)) or list(_fields(protocol))


def _methods(protocol: type) -> Iterator[str]:
    for name, parameters in _METHODS.items():
        method = getattr(protocol, name, None)
        if method is None or tuple(inspect.signature(method).parameters) != parameters:
            yield f"{name}({', '.join(parameters[1:])})"


def _fields(protocol: Any) -> Iterator[str]:  # noqa: ANN401  # it may be of any shape
    """Let it read a request, and look for what it has then."""
    asked: list[str] = []

    def start(*_: object) -> None:
        asked.append("_start_asgi_task")

    def upgrade(_: object) -> bool:
        asked.append("_should_upgrade")
        return True

    watched = {"_start_asgi_task": start, "_should_upgrade": upgrade}
    config = uvicorn.Config(
        _no_application, interface="asgi3", http="httptools", ws="none", log_config=None
    )
    one = type(_PROTOCOL, (protocol,), watched)(config, ServerState(), {}, _loop=object())
    try:
        one.connection_made(asyncio.Transport())
        with contextlib.suppress(httptools.HttpParserUpgrade):
            one.parser.feed_data(_REQUEST + _UPGRADE + b"\r\n")
        one.parser.feed_data(_REQUEST + _LAST + b"\r\n")
        if one.cycle.keep_alive:
            yield "cycle.keep_alive that is false where the client closes"
    except Exception as error:  # noqa: BLE001  # whatever it is, it was not made for this
        yield f"way through a request ({type(error).__name__})"
    yield from (f"a call of {name}" for name in watched if name not in asked)
    for path, names in _FIELDS.items():
        owner = getattr(one, path[:-1], None) if path else one
        yield from (f"{path}{name}" for name in names if not hasattr(owner, name))


async def _no_application(_scope: object, _receive: object, _send: object) -> None:
    """Stand for an application; nothing is asked of it."""
