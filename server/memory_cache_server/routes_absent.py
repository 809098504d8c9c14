"""
What agent-memory-server has and this server does not: answered as there without long-term memory.

So its clients raise their own errors, which say what is missing, and not one about a wrong path.
"""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from memory_cache_server import inputs
from memory_cache_server.describe import answers, operation
from memory_cache_server.documents import (
    Acknowledgement,
    ErrorDocument,
    ForgetDocument,
    SummaryViewsDocument,
)
from memory_cache_server.errors import Problem, no_long_term_memory
from memory_cache_server.rendering import json_response
from memory_cache_server.schemas import ForgetBody, ForgetQuery
from memory_cache_server.services import services_of

router = APIRouter()

Responses = dict[int | str, dict[str, Any]]

_MEMORIES: Final = "/v1/long-term-memory"
_MEMORY: Final = f"{_MEMORIES}/{{memory_id}}"
_VIEWS: Final = "/v1/summary-views"
_VIEW: Final = f"{_VIEWS}/{{view_id}}"
_TASK: Final = "/v1/tasks/{task_id}"

_DISABLED: Final[Responses] = {
    400: {"model": ErrorDocument, "description": "long-term memory is disabled"}
}
_NO_VIEW: Final[Responses] = {404: {"model": ErrorDocument, "description": "no such summary view"}}
_NO_TASK: Final[Responses] = {404: {"model": ErrorDocument, "description": "no such task"}}


@router.post(
    f"{_MEMORIES}/forget",
    responses=answers(ForgetDocument, 413, 422),
    openapi_extra=operation(query=ForgetQuery, body=ForgetBody),
)
async def forget(request: Request) -> Response:
    """Forget long-term memories by a policy: there are none."""
    asked = inputs.query(request, ForgetQuery)
    await inputs.body(request, ForgetBody, services_of(request).settings.max_body_bytes)
    return json_response({"scanned": 0, "deleted": 0, "deleted_ids": [], "dry_run": asked.dry_run})


async def long_term_memory() -> Response:
    """Answer that there is no long-term memory here."""
    raise no_long_term_memory()


# The other server has some of these; it would be no help to be told that the method is wrong.
for _path, _named in ((_MEMORIES, None), (f"{_MEMORIES}/", None), (_MEMORY, "memory_id")):
    for _method in ("GET", "POST", "PATCH", "DELETE"):
        router.add_api_route(
            _path,
            long_term_memory,
            methods=[_method],
            status_code=400,
            responses=_DISABLED,
            openapi_extra=operation(named=_named),
        )


@router.get(_VIEWS, responses=answers(SummaryViewsDocument))
async def list_summary_views() -> Response:
    """List the summary views: there are none."""
    return json_response([])


@router.post(_VIEWS, status_code=400, responses=_DISABLED)
async def create_summary_view() -> Response:
    """Answer that there is no long-term memory, which a view would be of."""
    raise no_long_term_memory()


@router.delete(_VIEW, responses=answers(Acknowledgement), openapi_extra=operation(named="view_id"))
async def delete_summary_view() -> Response:
    """Delete a summary view; that there is none is no error."""
    return json_response({"status": "ok"})


async def no_summary_view(request: Request) -> Response:
    """Answer that there is no such summary view."""
    raise _absent("summary_view_not_found", "SummaryView", request.path_params["view_id"])


for _method, _path in (
    ("GET", _VIEW),
    ("GET", f"{_VIEW}/partitions"),
    ("POST", f"{_VIEW}/partitions/run"),
    ("POST", f"{_VIEW}/run"),
):
    router.add_api_route(
        _path,
        no_summary_view,
        methods=[_method],
        status_code=404,
        responses=_NO_VIEW,
        openapi_extra=operation(named="view_id"),
    )


@router.get(_TASK, status_code=404, responses=_NO_TASK, openapi_extra=operation(named="task_id"))
async def no_task(request: Request) -> Response:
    """Answer that there is no such task: nothing here is done in the background."""
    raise _absent("task_not_found", "Task", request.path_params["task_id"])


def _absent(code: str, what: str, name: str) -> Problem:
    return Problem(404, code, f"No such {what}", f"{what} {name} not found")
