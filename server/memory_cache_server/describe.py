"""What OpenAPI says of routes that read their requests by themselves."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from memory_cache_server.documents import ErrorDocument
from memory_cache_server.schemas import (
    ForgetBody,
    PatchSession,
    PostMessages,
    PromptBody,
    PutSession,
)

READ_HEADERS: Final = {
    "If-None-Match": "ETags of answers the client has: 304 if one is still right",
    "Memory-Min-Version": "a version the answer must contain: 409 if the store lost it",
    "Cache-Control": "`no-cache`: the newest there is",
}
CHANGE_HEADERS: Final = {
    "If-Match": "the version (or ETag) to change, else 412; `*`: as it is at that moment",
    "If-None-Match": "`*`: only if the session does not exist, else 412",
    "Idempotency-Key": "name of this change: sent again, it is done once",
}
PUT_HEADERS: Final = {**CHANGE_HEADERS, "Prefer": "`return=minimal`: answer what POST does"}

_BODIES: Final[list[type[BaseModel]]] = [
    PutSession,
    PatchSession,
    PostMessages,
    PromptBody,
    ForgetBody,
]
_REF: Final = "#/components/schemas/{model}"

_ERRORS: Final = {
    400: "not JSON that can be kept, or an empty content",
    404: "no such session, by the store's own word",
    409: "the store lost the version that was asked for",
    412: "the session is not at the expected version",
    413: "larger than a limit",
    422: "the input does not fit",
    501: "it needs the near cache, which is off",
    503: "the store is unavailable; Retry-After says when to try again",
    504: "the version that was asked for did not arrive in time",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors a route may answer, for its `responses`."""
    return {status: {"model": ErrorDocument, "description": _ERRORS[status]} for status in statuses}


def answers(
    document: type[BaseModel], *statuses: int, others: dict[int | str, str] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route: a 200 with this document, errors, answers without one."""
    return {
        200: {"model": document},
        **{status: {"description": what} for status, what in (others or {}).items()},
        **errors(*statuses),
    }


def operation(
    *,
    session: bool = False,
    named: str | None = None,
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return what a route takes, for its `openapi_extra`; ``named``: the name in its path."""
    parameters: list[dict[str, Any]] = []
    in_path = "session_id" if session else named
    if in_path is not None:
        text = {"type": "string", "minLength": 1}
        parameters.append({"name": in_path, "in": "path", "required": True, "schema": text})
    if query is not None:
        properties = query.model_json_schema().get("properties", {})
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in properties.items()
        ]
    parameters += [
        {"name": name, "in": "header", "schema": {"type": "string"}, "description": what}
        for name, what in (headers or {}).items()
    ]
    extra: dict[str, Any] = {"parameters": parameters}
    if body is not None:
        schema = {"$ref": _REF.format(model=body.__name__)}
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return extra


def with_bodies(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Return the application's `openapi`: with the bodies that the routes read by themselves."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            _, definitions = models_json_schema(
                [(model, "validation") for model in _BODIES], ref_template=_REF
            )
            schemas = document["components"]["schemas"]
            document["components"]["schemas"] = {**definitions["$defs"], **schemas}
            app.openapi_schema = document
        return app.openapi_schema

    return openapi
