"""
What happens to a session, sent as it happens: server-sent events.

One task reads the events and sends them. It waits for the client's connection to take what was
sent before it reads more, so one who reads slowly costs no more than one who does not.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from memory_cache import MemoryCacheError, SessionEvent, SessionEventKind
from memory_cache_server.turns import Turns

FINISHING: Final = "memory_cache.finishing"
"""In the state that a lifespan shares with its requests: a future, done when streams are to end."""

ABORT: Final = "memory_cache.abort"
"""In the state of a request: closes its connection, whatever was not taken of it yet."""

HEARTBEAT_SECONDS: Final = 15.0
"""How often a comment is sent, so that proxies leave the connection open."""

_END_SECONDS: Final = 0.5
_MOST_AT_ONCE: Final = 64 * 1024
"""Bytes from which on no more events are joined before they are sent."""

_HEARTBEAT: Final = b":\n\n"
_BEGIN: Final = b"retry: 100\n\n"
"""Milliseconds until a client comes back: if its worker ended, there is another, or soon."""

_log = logging.getLogger(__name__)


def rendered(event: SessionEvent) -> bytes:
    """Return an event as it is sent; a message is joined in as it is stored, not parsed."""
    if event.kind is SessionEventKind.MESSAGE:
        data = b'{"seq":%d,"message":%b}' % (event.seq, event.json)
    elif event.version is None:
        data = b'{"first":0,"next":0,"version":null}'
    else:
        known = {"first": event.first, "next": event.next, "version": str(event.version)}
        data = orjson.dumps(known)
    # Canonical JSON has no raw line end, which would end the field.
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        event.id.encode(),
        event.kind.value.encode(),
        data,
    )


class _Renderer:
    """Renders events; followers of one session, woken one after the other, share the last one."""

    def __init__(self) -> None:
        self._event: SessionEvent | None = None
        self._text = b""

    def __call__(self, event: SessionEvent) -> bytes:
        if event is not self._event:
            self._text = rendered(event)
            self._event = event
        return self._text


_render: Final = _Renderer()


class EventStream(Response):
    """
    Sends events until the client goes, the worker finishes, or the client is too slow.

    The client may go on elsewhere with the id of the last event that it got.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[SessionEvent],
        headers: Mapping[str, str],
        slow_reader_seconds: float,
        turns: Turns,
    ) -> None:
        """Close ``events`` in the end; cut off who takes nothing for ``slow_reader_seconds``."""
        self.status_code = 200
        self.background = None
        self.init_headers(headers)
        self._events = events
        self._slow_reader_seconds = slow_reader_seconds
        self._turns = turns
        self._writing_since: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until it ends; an error of the library ends it, for another request to meet."""
        loop = asyncio.get_running_loop()
        finishing: asyncio.Future[None] = scope.get("state", {}).get(
            FINISHING, loop.create_future()
        )
        ours = [loop.create_task(part(send)) for part in (self._send, self._watch)]
        gone = loop.create_task(_disconnected(receive))
        try:
            await asyncio.wait((*ours, gone, finishing), return_when=asyncio.FIRST_COMPLETED)
            await _cancelled(*ours)
            if not gone.done():
                await _end(scope, send, gone)
        finally:
            await _cancelled(*ours, gone)
            await self._events.aclose()
        for task in ours:
            if not task.cancelled() and (error := task.exception()):
                self._explain(error)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._write(send, _BEGIN)
        text = b""
        async for event in self._events:
            if text:
                self._turns.spend(len(event.json))
            else:
                # Before anything is joined: who waits for its turn holds nothing of its own.
                await self._turns.take(len(event.json))
            text += _render(event)
            if not event.more or len(text) >= _MOST_AT_ONCE:
                await self._write(send, text)
                text = b""

    async def _write(self, send: Send, text: bytes) -> None:
        # No timeout here: to set one for each event costs as much as to find the event.
        self._writing_since = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": text, "more_body": True})
        self._writing_since = None

    async def _watch(self, send: Send) -> None:
        """Send comments; end with a TimeoutError when a write waits for too long."""
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + HEARTBEAT_SECONDS
        while True:
            now = loop.time()
            since = now if self._writing_since is None else self._writing_since
            left = since + self._slow_reader_seconds - now
            if left <= 0:
                raise TimeoutError
            if now >= beat_at and self._writing_since is None:
                async with asyncio.timeout(self._slow_reader_seconds):
                    await send(
                        {"type": "http.response.body", "body": _HEARTBEAT, "more_body": True}
                    )
                beat_at = now + HEARTBEAT_SECONDS
            await asyncio.sleep(min(left, HEARTBEAT_SECONDS))

    def _explain(self, error: BaseException) -> None:
        if isinstance(error, TimeoutError):
            _log.info("a reader of events was too slow, and cut off")
        elif isinstance(error, MemoryCacheError):
            _log.warning("a stream of events ended: %s", error.code)
        else:
            raise error


async def _end(scope: Scope, send: Send, gone: asyncio.Task[None]) -> None:
    """End the answer; close the connection of a client that does not take even that."""
    try:
        async with asyncio.timeout(_END_SECONDS):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        abort = scope.get("state", {}).get(ABORT)
        if abort is not None:
            abort()
            await gone


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
