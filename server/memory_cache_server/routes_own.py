"""What the contract has not: append without reading, pages of a transcript, fields alone."""

from fastapi import APIRouter, Request, Response

from memory_cache import Consistency, Page, Session
from memory_cache_server import inputs
from memory_cache_server.conditional import change_terms, reading_of
from memory_cache_server.contract_input import check_times, fields_of
from memory_cache_server.describe import CHANGE_HEADERS, READ_HEADERS, answers, operation
from memory_cache_server.documents import ChangeDocument, PageDocument
from memory_cache_server.errors import not_found
from memory_cache_server.names import session_of
from memory_cache_server.rendering import (
    bytes_response,
    change_document,
    change_headers,
    json_response,
    not_modified,
    page_document,
    read_headers,
)
from memory_cache_server.routes_contract import SESSION
from memory_cache_server.schemas import PageQuery, PatchSession, PostMessages, ScopeQuery
from memory_cache_server.services import services_of

router = APIRouter()

MESSAGES = f"{SESSION}/messages"


@router.post(
    MESSAGES,
    responses=answers(ChangeDocument, 400, 412, 413, 422, 503),
    openapi_extra=operation(
        session=True, query=ScopeQuery, body=PostMessages, headers=CHANGE_HEADERS
    ),
)
async def append_messages(request: Request) -> Response:
    """
    Append messages, all or none; the session is made if need be.

    What is sent again is appended again, whatever ids its messages have; under an
    Idempotency-Key it is answered with the first result.
    """
    services = services_of(request)
    asked = inputs.query(request, ScopeQuery)
    session = session_of(services.cache, request.path_params["session_id"], asked)
    body = await inputs.body(request, PostMessages, services.settings.max_body_bytes)
    check_times(body.messages, services.settings)
    terms = await change_terms(request, session)
    change = await session.append(body.messages, ttl_seconds=body.ttl_seconds, **terms)
    return json_response(change_document(change, session.key), change_headers(change))


@router.get(
    MESSAGES,
    responses=answers(
        PageDocument, 404, 409, 422, 503, 504, others={304: "the client has this answer"}
    ),
    openapi_extra=operation(session=True, query=PageQuery, headers=READ_HEADERS),
)
async def get_messages(request: Request) -> Response:
    """Answer a page of the transcript as it was sent: the newest, or on one side of a seq."""
    services = services_of(request)
    asked = inputs.query(request, PageQuery)
    session = session_of(services.cache, request.path_params["session_id"], asked)

    async def read(session: Session, consistency: Consistency) -> Page:
        return await session.page(
            before=asked.before, after=asked.after, limit=asked.limit, consistency=consistency
        )

    shape = services.shape("messages", asked.model_dump())
    reading = reading_of(request, shape, newest=False)
    page = await reading.page(session, read)
    if page.version is None:
        raise not_found(session.key.session_id)
    headers = read_headers(reading, page.tier, page.version)
    if reading.knows(page.version):
        return not_modified(headers)
    return bytes_response(page_document(page), headers)


@router.patch(
    SESSION,
    responses=answers(ChangeDocument, 400, 412, 413, 422, 503),
    openapi_extra=operation(
        session=True, query=ScopeQuery, body=PatchSession, headers=CHANGE_HEADERS
    ),
)
async def patch_session(request: Request) -> Response:
    """Change fields, never messages; the session is made if need be."""
    services = services_of(request)
    asked = inputs.query(request, ScopeQuery)
    session = session_of(services.cache, request.path_params["session_id"], asked)
    raw = await inputs.read(request, services.settings.max_body_bytes)
    body = inputs.checked(inputs.parsed(raw, is_json=inputs.is_json(request)), PatchSession)
    terms = await change_terms(request, session)
    if "ttl_seconds" in body.model_fields_set:
        terms["ttl_seconds"] = body.ttl_seconds
    change = await session.set_fields(fields_of(body), given=raw, **terms)
    return json_response(change_document(change, session.key), change_headers(change))
