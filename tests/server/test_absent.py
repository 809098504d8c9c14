"""What the other server has and this one does not, as HTTP answers it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from support.in_process import is_error_document, serving

MEMORIES = "/v1/long-term-memory"
VIEWS = "/v1/summary-views"


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application over an empty store."""
    async with serving(valkey_url) as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["", "/", "/search", "/compact", "/m", "/a%20b"])
async def test_long_term_memory(http: httpx.AsyncClient, method: str, path: str) -> None:
    """Every path has every method, with a body and without: long-term memory is disabled."""
    bodies: tuple[object, ...] = ({"memories": []}, None)
    for body in bodies:
        response = await http.request(method, MEMORIES + path, json=body)
        assert response.status_code == 400
        assert is_error_document(response, change=method != "GET")
        assert response.json()["detail"] == "Long-term memory is disabled"
    assert (await http.put(MEMORIES + path)).headers["allow"] == "DELETE, GET, PATCH, POST"


async def test_forget(http: httpx.AsyncClient) -> None:
    """There is nothing to forget; whether it was to be tried only is echoed."""
    body = {"policy": {"max_age_days": 30, "budget": None}, "pinned_ids": ["a"], "limit": 9}
    for query, dry_run in (("", True), ("?dry_run=true&limit=5", True), ("?dry_run=false", False)):
        response = await http.post(f"{MEMORIES}/forget{query}", json=body)
        assert response.status_code == 200
        assert response.json() == {
            "scanned": 0,
            "deleted": 0,
            "deleted_ids": [],
            "dry_run": dry_run,
        }


@pytest.mark.parametrize(
    ("query", "body"),
    [("?dry_run=x", {"policy": {}}), ("?limit=x", {"policy": {}}), ("", {}), ("", {"policy": []})],
)
async def test_forget_nonsense(http: httpx.AsyncClient, query: str, body: object) -> None:
    """What does not fit is a 422, as it would be there."""
    response = await http.post(f"{MEMORIES}/forget{query}", json=body)
    assert response.status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("POST", VIEWS, 400, "Long-term memory is disabled"),
        ("GET", f"{VIEWS}/v", 404, "SummaryView v not found"),
        ("GET", f"{VIEWS}/v/partitions?user_id=u", 404, "SummaryView v not found"),
        ("POST", f"{VIEWS}/v/partitions/run", 404, "SummaryView v not found"),
        ("POST", f"{VIEWS}/v/run", 404, "SummaryView v not found"),
        ("GET", "/v1/tasks/t", 404, "Task t not found"),
    ],
)
async def test_summary_views(
    http: httpx.AsyncClient, method: str, path: str, status: int, detail: str
) -> None:
    """No summary view is there, nor a task."""
    response = await http.request(method, path, json={} if method == "POST" else None)
    assert (response.status_code, response.json()["detail"]) == (status, detail)
    assert is_error_document(response, change=method == "POST")


async def test_empty_list(http: httpx.AsyncClient) -> None:
    """The list of summary views is empty, and to delete one is ok."""
    assert (await http.get(VIEWS)).json() == []
    assert (await http.delete(f"{VIEWS}/v")).json() == {"status": "ok"}


@pytest.mark.parametrize("path", [VIEWS, f"{VIEWS}/v", f"{MEMORIES}/m"])
async def test_slash(http: httpx.AsyncClient, path: str) -> None:
    """With a slash behind it a path is led to the one without, as there."""
    response = await http.get(f"{path}/")
    assert response.status_code == 307
    assert response.headers["location"].endswith(path)
