"""
The fast path of live tails: the plainest requests for one, answered before the framework sees them.

When a worker ends, all who followed on it come to the others at once, while these have the same
messages to send as before. The layers of the framework cost as much as all else that is done to
begin a stream, and then something for each message. Everything that is not plain (a name that
needs decoding, ``after`` in the query) and every error is for the route.
"""

import re
from typing import Final

from starlette.types import Receive, Scope, Send

from memory_cache import MemoryCacheError
from memory_cache_server.errors import ErrorBoundary
from memory_cache_server.event_stream import EventStream
from memory_cache_server.names import PLAIN_SESSION, plain_query
from memory_cache_server.routes_events import LAST, stream_of
from memory_cache_server.services import Application

_PATH: Final = re.compile(PLAIN_SESSION + rb"/events")
_LAST: Final = LAST.encode()
_QUERY: Final = frozenset({"namespace", "user_id"})


class FastEvents:
    """An ASGI layer that answers what it can of requests to follow a session."""

    def __init__(self, app: Application) -> None:
        self.state = app.state
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand the request on."""
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["root_path"]:
            path = _PATH.fullmatch(scope["raw_path"])
            stream = await self._stream(scope, path[1].decode()) if path else None
            if stream is not None:
                await ErrorBoundary(stream)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _stream(self, scope: Scope, session_id: str) -> EventStream | None:
        query = plain_query(scope["query_string"], _QUERY)
        places = [value for name, value in scope["headers"] if name == _LAST]
        if query is None or len(places) > 1:
            return None
        services = self.state.services
        after = places[0].decode("latin-1") if places else None
        try:
            session = services.cache.session(session_id, **query)
            return await stream_of(services, session, after or None)
        except MemoryCacheError:
            return None
