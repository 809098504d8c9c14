"""
The inspector: its page, what the page is made of, and the data it shows. All of it only reads.

A session's name is in the query here: some names, as ``a/b`` or ``..``, no path can carry.
"""

import os
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response

from memory_cache import NEWEST, InvalidNameError, Page, Session, SessionKey, time_text
from memory_cache_server import inputs
from memory_cache_server.errors import Problem, not_found
from memory_cache_server.names import invalid_name, session_of
from memory_cache_server.rendering import micros_text
from memory_cache_server.routes_contract import FURTHEST_OFFSET
from memory_cache_server.routes_events import EventsQuery, follow_session
from memory_cache_server.schemas import ListQuery, PageQuery, ScopeQuery
from memory_cache_server.services import services_of

router = APIRouter(include_in_schema=False)

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none';"
    # No script of the page can turn text into markup, not even by mistake.
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

_PAGE: Final = "page.html"
_MEDIA: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


class SessionsQuery(ListQuery):
    """Which sessions to list: those of one id, or a page of all."""

    session_id: str | None = None


class SessionPageQuery(PageQuery):
    """Which session, and which page of it."""

    session_id: str


class SessionEventsQuery(EventsQuery):
    """Which session's events."""

    session_id: str


class WorkerQuery(ScopeQuery):
    """Which session to look for in the near cache."""

    session_id: str | None = None


@router.get("/inspect")
async def page() -> Response:
    """Answer the page."""
    return _part(_PAGE)


@router.get("/inspect/data/sessions")
async def sessions(request: Request) -> Response:
    """List names of sessions, those most recently active first; with an id, those that have it."""
    cache = services_of(request).cache
    asked = inputs.query(request, SessionsQuery)
    try:
        if asked.session_id is not None:
            # One more than is shown tells that there are more.
            found = await cache.find(
                asked.session_id,
                namespace=asked.namespace,
                user_id=asked.user_id,
                limit=asked.limit + 1,
            )
            shown = [_name(key) for key in found[: asked.limit]]
            return _json({"sessions": shown, "total": len(found)})
        listed = await cache.list_sessions(
            namespace=asked.namespace,
            user_id=asked.user_id,
            limit=asked.limit,
            offset=min(asked.offset, FURTHEST_OFFSET),
        )
    except InvalidNameError as error:
        raise invalid_name(("query", error.field), error.reason) from None
    return _json({"sessions": [_name(key) for key in listed.sessions], "total": listed.total})


@router.get("/inspect/data/session")
async def session(request: Request) -> Response:
    """Answer what a session is, and a page of its transcript, at one version: the newest."""
    asked = inputs.query(request, SessionPageQuery)
    named = _session(request, asked.session_id, asked)
    page = await named.page(
        before=asked.before, after=asked.after, limit=asked.limit, consistency=NEWEST
    )
    if not page.exists:
        raise not_found(asked.session_id)
    return _json({**_session_document(page), "expires_at": await _expiry(named)})


@router.get("/inspect/data/events")
async def events(request: Request) -> Response:
    """Send what happens to a session, as its public route does."""
    asked = inputs.query(request, SessionEventsQuery)
    request.scope["path_params"] = {"session_id": asked.session_id}
    response = await follow_session(request)
    response.headers.update(HEADERS)
    return response


@router.get("/inspect/data/worker")
async def worker(request: Request) -> Response:
    """Answer the state of the worker that answers: its near cache, and if a session is in it."""
    asked = inputs.query(request, WorkerQuery)
    hot = None
    if asked.session_id is not None:
        hot = _session(request, asked.session_id, asked).peek(1) is not None
    statistics = asdict(services_of(request).cache.statistics())
    return _json({"pid": os.getpid(), "session_is_hot": hot, "statistics": statistics})


@router.get("/inspect/{name}")
async def part(name: str) -> Response:
    """Answer a part of the page; the page itself only where its relative addresses hold."""
    if name == _PAGE or name not in _parts():
        raise Problem(404, "not_found", "Not Found", "Not Found")
    return _part(name)


def _part(name: str) -> Response:
    media_type, content = _parts()[name]
    return Response(content, 200, HEADERS, media_type)


@cache
def _parts() -> dict[str, tuple[str, bytes]]:
    """Return the parts of the page by name: media type and content; read once."""
    found = {}
    for path in files(__package__).iterdir():
        media_type = _MEDIA.get(os.path.splitext(path.name)[1])  # noqa: PTH122  not always a Path
        if media_type is not None:
            found[path.name] = (media_type, path.read_bytes())
    return found


def _session(request: Request, session_id: str, scope: ScopeQuery) -> Session:
    return session_of(services_of(request).cache, session_id, scope, id_in=("query",))


async def _expiry(session: Session) -> str | None:
    """Return when the session ends, whether changes prolong it or not."""
    left = await session.expires_in()
    return None if left is None else time_text(datetime.now(UTC) + timedelta(seconds=left))


def _session_document(page: Page) -> dict[str, Any]:
    """Return what the page shows; each message as text, for a browser's numbers are not exact."""
    texts = b"\n".join(page.bodies).decode().split("\n") if page.bodies else []
    return {
        "name": _name(page.key),
        "messages": texts,
        "beside": [
            {"token_count": meta.tokens, "created_at": micros_text(meta.created_at)}
            for meta in page.metas or ()
        ],
        "start": page.start,
        "end": page.end,
        "first": page.first,
        "next": page.next,
        "token_count": page.token_count,
        "version": str(page.version),
        "tier": page.tier.value,
        "created_at": micros_text(page.created_at),
        "updated_at": micros_text(page.updated_at),
        "ttl_seconds": page.ttl_seconds,
        "fields": page.fields_json.decode(),
    }


def _name(key: SessionKey) -> dict[str, str]:
    return key._asdict()


def _json(document: object) -> Response:
    return Response(orjson.dumps(document), 200, HEADERS, "application/json")
