"""What happens to a session, as it happens."""

from contextlib import suppress
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import Field

from memory_cache import InvalidInputError, Session, StoreError
from memory_cache_server import inputs
from memory_cache_server.describe import errors, operation
from memory_cache_server.errors import fault, invalid
from memory_cache_server.event_stream import EventStream
from memory_cache_server.names import session_of
from memory_cache_server.rendering import PRIVATE
from memory_cache_server.routes_contract import SESSION
from memory_cache_server.schemas import ScopeQuery
from memory_cache_server.services import Services, services_of

router = APIRouter()

EVENTS: Final = f"{SESSION}/events"

LAST: Final = "last-event-id"
"""The header with the id of the last event that a client got."""

_HEADERS: Final = {**PRIVATE, "x-accel-buffering": "no"}
_WORDS: Final = "the id of an event to go on after; it goes before `after`"
_STREAM: Final = {
    "description": "events: following, message, edited, deleted, lost",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


class EventsQuery(ScopeQuery):
    """Where to go on."""

    after: str | None = Field(
        default=None, description="id of an event, or a version, to go on after; none: from now on"
    )


@router.get(
    EVENTS,
    response_class=Response,
    responses={200: _STREAM, **errors(422, 501)},
    openapi_extra=operation(session=True, query=EventsQuery, headers={"Last-Event-ID": _WORDS}),
)
async def follow_session(request: Request) -> Response:
    """
    Send what happens to a session as server-sent events, whoever does it, whether it exists yet.

    Each message is sent once and in order, and each event's id says where to go on: a client that
    comes back with the last one it got (browsers do it by themselves) misses nothing and gets
    nothing twice, on any worker. The id is opaque; it begins with a version.

    - `following`: `{"first", "next", "version"}`: from here on all is sent. Messages from `next`
      on will come; those before it are read at `/messages`. The first event, unless one goes on.
    - `message`: `{"seq", "message"}`: the message as it was stored.
    - `edited`: `{"first", "next", "version"}`: messages were changed or removed: read again what
      you have of them. So it is after a version alone that is not the newest any more.
    - `deleted`: the session was deleted, or expired. If it is made again its messages are sent.
    - `lost`: `{"first", "next", "version"}`: the store lost changes that were sent, in a
      failover: read again what you have.

    While the store is away the stream waits. A client that takes nothing for a while is cut off,
    and may come back. Comments keep the connection open.
    """
    services = services_of(request)
    asked = inputs.query(request, EventsQuery)
    session = session_of(services.cache, request.path_params["session_id"], asked)
    header = request.headers.get(LAST)
    try:
        return await stream_of(services, session, header or asked.after)
    except InvalidInputError as error:
        where = ("header", LAST) if header else ("query", "after")
        raise invalid([fault("invalid_event_id", where, error.reason)]) from None


async def stream_of(services: Services, session: Session, after: str | None) -> EventStream:
    """
    Return what sends what happens to a session.

    Raises:
        InvalidInputError: ``after`` is no id of an event, and no version.
        MemoryCacheError: the session cannot be followed, or what is stored of it not be read.
    """
    events = session.events(after=after, patience_seconds=None)
    with suppress(StoreError):
        await session.recent(1)  # what cannot be read is an error, not a stream that ends
    seconds = services.settings.slow_reader_seconds
    return EventStream(events, _HEADERS, seconds, services.turns)
