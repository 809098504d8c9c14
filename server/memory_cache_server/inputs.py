"""Bodies and queries, read and checked against a model before anything is done."""

from collections.abc import Mapping
from email.message import Message as MimeHeaders
from typing import Final, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError

from memory_cache import InvalidJsonError, parse_json
from memory_cache_server.errors import Problem, fault, faults_of, invalid
from memory_cache_server.names import QUERY

M = TypeVar("M", bound=BaseModel)

MAX_DEPTH: Final = 64


def query(request: Request, model: type[M]) -> M:
    """
    Return the query as ``model``; names it does not have are ignored, of a repeated one the last.

    Raises:
        Problem: 422.
    """
    given: Mapping[str, str] = request.scope[QUERY]
    return _validated(given, model, "query")


async def body(request: Request, model: type[M], max_bytes: int) -> M:
    """Read the body as ``model``; raises what `read`, `parsed` and `checked` raise."""
    return checked(parsed(await read(request, max_bytes), is_json=is_json(request)), model)


async def read(request: Request, max_bytes: int) -> bytes:
    """
    Read the body.

    Raises:
        Problem: 413 if it is larger than ``max_bytes``, whatever its Content-Length says.
        ClientDisconnect: the client went away before its end.
    """
    too_large = Problem(413, "too_large", "Too large", f"The body is larger than {max_bytes} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise too_large
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def parsed(raw: bytes, *, is_json: bool) -> object:
    """
    Return the body parsed, if it is meant as JSON.

    Raises:
        Problem: 422.
        InvalidJsonError: it could not be kept unchanged.
    """
    value: object = raw
    if raw and is_json:
        value = _parsed(raw)
    if not raw or value is None:
        raise invalid([fault("missing", ["body"], "Field required")])
    return value


def checked(value: object, model: type[M]) -> M:
    """
    Return a parsed body as ``model``.

    Raises:
        Problem: 422.
    """
    return _validated(value, model, "body")


def is_json(request: Request) -> bool:
    """Whether a body is meant as JSON; one that does not say what it is, is, if no page sent it."""
    content_type = request.headers.get("content-type")
    if content_type is None:
        # A browser sends one for the page of any site, and asks us only if it says that it is JSON.
        return "origin" not in request.headers
    headers = MimeHeaders()
    headers["content-type"] = content_type
    subtype = headers.get_content_subtype()
    of_json = subtype == "json" or subtype.endswith("+json")
    return headers.get_content_maintype() == "application" and of_json


def _parsed(raw: bytes) -> object:
    try:
        return parse_json(raw, max_depth=MAX_DEPTH)
    except InvalidJsonError:
        # That it is no JSON at all is answered as the contract does; the rest is our own rule.
        try:
            orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise invalid(
                [fault("json_invalid", ["body", error.pos], "JSON decode error", error=error.msg)],
                "invalid_json",
            ) from None
        raise


def _validated(value: object, model: type[M], where: str) -> M:
    try:
        # As the contract's framework does, which shows in the type of an error.
        return model.model_validate(value, from_attributes=True)
    except ValidationError as error:
        raise invalid(faults_of(error, where)) from None
