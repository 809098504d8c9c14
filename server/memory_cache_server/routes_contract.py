"""The working memory of agent-memory-server, as its clients know it."""

import time
from contextlib import aclosing
from typing import Final

from fastapi import APIRouter, Request, Response

from memory_cache import Consistency, InvalidNameError, Page, Session, VersionMismatchError
from memory_cache_server import inputs
from memory_cache_server.conditional import change_terms, reading_of, wants_minimal
from memory_cache_server.contract_input import DEPRECATION_WARNING
from memory_cache_server.describe import (
    CHANGE_HEADERS,
    PUT_HEADERS,
    READ_HEADERS,
    answers,
    operation,
)
from memory_cache_server.documents import (
    Acknowledgement,
    Health,
    PromptDocument,
    SessionDocument,
    SessionsDocument,
)
from memory_cache_server.errors import Problem, no_long_term_memory, not_found
from memory_cache_server.lookup import candidates, find_page
from memory_cache_server.models import window_of
from memory_cache_server.names import invalid_name, session_of
from memory_cache_server.rendering import (
    bytes_response,
    change_document,
    change_headers,
    json_response,
    not_modified,
    prompt_document,
    read_headers,
    session_document,
)
from memory_cache_server.schemas import (
    ListQuery,
    PromptBody,
    PromptQuery,
    PutSession,
    ScopeQuery,
    SessionQuery,
    WindowQuery,
)
from memory_cache_server.services import services_of

router = APIRouter()

SESSION: Final = "/v1/working-memory/{session_id}"
MOST_RECENT: Final = 2**31
FURTHEST_OFFSET: Final = 2**40


@router.get("/v1/health", responses=answers(Health))
async def health() -> Response:
    """Answer that the server runs; the store is not asked."""
    return json_response({"now": time.time_ns() // 1_000_000})


@router.get(
    "/v1/working-memory/",
    responses=answers(SessionsDocument, 422, 503),
    openapi_extra=operation(query=ListQuery),
)
async def list_sessions(request: Request) -> Response:
    """List the ids of sessions, those least recently active first."""
    asked = inputs.query(request, ListQuery)
    try:
        listed = await services_of(request).cache.list_sessions(
            namespace=asked.namespace,
            user_id=asked.user_id,
            limit=asked.limit,
            offset=min(asked.offset, FURTHEST_OFFSET),
            newest_first=False,
        )
    except InvalidNameError as error:
        raise invalid_name(("query", error.field), error.reason) from None
    ids = [key.session_id for key in listed.sessions]
    return json_response({"sessions": ids, "total": listed.total})


@router.get(
    SESSION,
    responses=answers(
        SessionDocument, 404, 409, 422, 503, 504, others={304: "the client has this answer"}
    ),
    openapi_extra=operation(session=True, query=SessionQuery, headers=READ_HEADERS),
)
async def get_session(request: Request) -> Response:
    """
    Answer a session: whole (then the newest there is), or the newest messages by created_at.

    Clients write back what they read, so a whole one must not miss a change.
    """
    services = services_of(request)
    asked = inputs.query(request, SessionQuery)
    session = session_of(services.cache, request.path_params["session_id"], asked)
    limit = min(asked.recent_messages_limit or 0, MOST_RECENT)
    window = window_of(asked.model_name, asked.context_window_max)

    async def read(candidate: Session, consistency: Consistency) -> Page:
        if limit > 0:
            page = await candidate.recent(limit, consistency=consistency, by_created_at=True)
            return page if window is None else page.fit(window)
        return await _newest(candidate, window, consistency)

    shape = services.shape("session", asked.model_dump())
    reading = reading_of(request, shape, newest=limit <= 0)
    page = await find_page(services.cache, session, reading, read)
    if page.version is None:
        raise not_found(session.key.session_id)
    headers = read_headers(reading, page.tier, page.version)
    if reading.knows(page.version):
        return not_modified(headers)
    return bytes_response(session_document(page, session.key, window, no_data={}), headers)


@router.put(
    SESSION,
    responses=answers(SessionDocument, 400, 412, 413, 422, 503),
    openapi_extra=operation(session=True, query=WindowQuery, body=PutSession, headers=PUT_HEADERS),
)
async def put_session(request: Request) -> Response:
    """Make a session hold what the body says; its scope is in the body alone."""
    services = services_of(request)
    asked = inputs.query(request, WindowQuery)
    put = await services.putting.put(request)
    headers = change_headers(put.change)
    if put.undated:
        headers["x-deprecation-warning"] = DEPRECATION_WARNING
    key = put.session.key
    if wants_minimal(request):
        headers["preference-applied"] = "return=minimal"
        return json_response(change_document(put.change, key), headers)
    window = window_of(asked.model_name, asked.context_window_max)
    page = await put.whole_page()
    if page.version is not None:
        headers["memory-version"] = str(page.version)
    document = session_document(page, key, window, no_data=None, messages=put.echo)
    return bytes_response(document, headers)


@router.delete(
    SESSION,
    responses=answers(Acknowledgement, 412, 422, 503),
    openapi_extra=operation(session=True, query=ScopeQuery, headers=CHANGE_HEADERS),
)
async def delete_session(request: Request) -> Response:
    """Delete a session; that there is none is no error."""
    services = services_of(request)
    asked = inputs.query(request, ScopeQuery)
    session = session_of(services.cache, request.path_params["session_id"], asked)
    absent: VersionMismatchError | None = None
    async with aclosing(candidates(services.cache, session)) as sessions:
        async for candidate in sessions:
            try:
                terms = await change_terms(request, candidate, may_create=False)
                change = await candidate.delete(**terms)
            except VersionMismatchError as error:
                if error.current is not None:
                    raise
                absent = error
                continue
            if change.existed or change.replayed:
                # A replay ends the search, too: another session may have got this id since.
                return json_response({"status": "ok"}, change_headers(change))
    if absent is not None:
        raise absent
    return json_response({"status": "ok"})


@router.post(
    "/v1/memory/prompt",
    responses=answers(PromptDocument, 400, 413, 422, 503),
    openapi_extra=operation(query=PromptQuery, body=PromptBody),
)
async def memory_prompt(request: Request) -> Response:
    """Answer a prompt made of a session and a question."""
    services = services_of(request)
    inputs.query(request, PromptQuery)
    body = await inputs.body(request, PromptBody, services.settings.max_body_bytes)
    if body.long_term_search is not None and body.long_term_search is not False:
        raise no_long_term_memory()
    if body.session is None:
        detail = "Either session or long_term_search must be provided"
        raise Problem(400, "nothing_to_prompt", "Nothing to make a prompt of", detail)
    asked = body.session
    session = session_of(
        services.cache,
        asked.session_id,
        asked,
        id_in=("body", "session"),
        scope_in=("body", "session"),
    )
    window = window_of(asked.model_name, asked.context_window_max)

    async def read(candidate: Session, consistency: Consistency) -> Page:
        return await _newest(candidate, window, consistency)

    reading = reading_of(request, "prompt", newest=True)
    page = await find_page(services.cache, session, reading, read)
    headers = {"memory-version": str(page.version)} if page.exists else {}
    return json_response(prompt_document(page, body.query), headers)


async def _newest(session: Session, window: int | None, consistency: Consistency) -> Page:
    if window is None:
        return await session.transcript(consistency=consistency)
    return await session.window(window, consistency=consistency)
