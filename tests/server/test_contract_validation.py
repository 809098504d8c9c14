from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from memory_cache_server.models import WINDOWS
from support.in_process import MESSAGES, SESSION, faults, message, serving


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application over an empty store."""
    async with serving(valkey_url) as client:
        yield client


@pytest.mark.parametrize(
    ("query", "kind", "name"),
    [
        ("recent_messages_limit=abc", "int_parsing", "recent_messages_limit"),
        ("recent_messages_limit=1.5", "int_parsing", "recent_messages_limit"),
        ("recent_messages_limit=", "int_parsing", "recent_messages_limit"),
        (f"recent_messages_limit={'9' * 5000}", "int_parsing_size", "recent_messages_limit"),
        ("context_window_max=x", "int_parsing", "context_window_max"),
        ("model_name=gpt-5", "literal_error", "model_name"),
        ("model_name=", "literal_error", "model_name"),
        ("model_name=gpt-4o&model_name=x", "literal_error", "model_name"),
    ],
)
async def test_session_query(http: httpx.AsyncClient, query: str, kind: str, name: str) -> None:
    """A GET's query is checked as the contract does; of a repeated name the last counts."""
    assert faults(await http.get(f"{SESSION}?{query}")) == [(kind, ["query", name])]


async def test_unknown_model_lists_all(http: httpx.AsyncClient) -> None:
    """The fault of an unknown model lists every name there is."""
    [found] = (await http.get(f"{SESSION}?model_name=x")).json()["detail"]
    assert all(
        repr(name) in found["msg"] and repr(name) in found["ctx"]["expected"] for name in WINDOWS
    )


@pytest.mark.parametrize(
    ("query", "kind", "ctx"),
    [
        ("limit=0", "greater_than_equal", {"ge": 1}),
        ("limit=101", "less_than_equal", {"le": 100}),
        ("offset=-1", "greater_than_equal", {"ge": 0}),
        ("limit=x", "int_parsing", None),
    ],
)
async def test_list_query(http: httpx.AsyncClient, query: str, kind: str, ctx: object) -> None:
    """A list's query has the contract's bounds."""
    response = await http.get(f"/v1/working-memory/?{query}")
    assert faults(response) == [(kind, ["query", query.partition("=")[0]])]
    assert response.json()["detail"][0].get("ctx") == ctx


@pytest.mark.parametrize(
    ("query", "kind", "loc"),
    [
        ("before=1&after=1", "value_error", []),
        ("before=-1", "greater_than_equal", ["before"]),
        ("after=-2", "greater_than_equal", ["after"]),
        ("limit=0", "greater_than_equal", ["limit"]),
        ("limit=1001", "less_than_equal", ["limit"]),
        (f"after={2**63}", "less_than_equal", ["after"]),
    ],
)
async def test_page_query(http: httpx.AsyncClient, query: str, kind: str, loc: list[str]) -> None:
    """A page takes one cursor, and numbers within their bounds."""
    assert faults(await http.get(f"{MESSAGES}?{query}")) == [(kind, ["query", *loc])]


LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()
RECORDS = ["MemoryRecord", "ClientMemoryRecord"]


def _message_rows() -> Iterator[tuple[dict[str, Any], str, list[object]]]:
    for sent, kind, field in [
        ({"content": "x"}, "missing", "role"),
        ({"role": "user"}, "missing", "content"),
        (message("x", role=1), "string_type", "role"),
        ({"role": "user", "content": None}, "string_type", "content"),
        ({"role": "user", "content": [{"type": "text"}]}, "string_type", "content"),
        (message("x", id=None), "string_type", "id"),
        (message("x", id=5), "string_type", "id"),
        (message("x", created_at=None), "datetime_type", "created_at"),
        (message("x", created_at="yesterday"), "datetime_from_date_parsing", "created_at"),
        (message("x", persisted_at="no"), "datetime_from_date_parsing", "persisted_at"),
        (message("x", discrete_memory_extracted="x"), "literal_error", "discrete_memory_extracted"),
        (message("x", created_at=LATER), "value_error", None),
        (message("x", created_at="1969-12-31T00:00:00Z"), "value_error", None),
    ]:
        loc = ["body", "messages", 0, *([field] if field else [])]
        yield {"messages": [sent]}, kind, loc


def _field_rows() -> Iterator[tuple[dict[str, Any], str, list[object]]]:
    rows: list[tuple[str, Any, str]] = [
        ("messages", None, "list_type"),
        ("messages", {}, "list_type"),
        ("memories", None, "list_type"),
        ("data", [], "dict_type"),
        ("context", 5, "string_type"),
        ("user_id", 5, "string_type"),
        ("namespace", [], "string_type"),
        ("tokens", None, "int_type"),
        ("tokens", "x", "int_parsing"),
        ("tokens", 1.5, "int_from_float"),
        ("tokens", "9" * 30, "less_than_equal"),
        ("ttl_seconds", 0, "greater_than_equal"),
        ("ttl_seconds", -1, "greater_than_equal"),
        ("ttl_seconds", 315_360_001, "less_than_equal"),
        ("long_term_memory_strategy", None, "model_attributes_type"),
        ("last_accessed", None, "datetime_type"),
        ("created_at", None, "datetime_type"),
        ("updated_at", "x", "datetime_from_date_parsing"),
    ]
    for field, value, kind in rows:
        yield {field: value}, kind, ["body", field]
    strategy = {"long_term_memory_strategy": {"strategy": "other"}}
    yield strategy, "literal_error", ["body", "long_term_memory_strategy", "strategy"]
    yield {"messages": [5]}, "model_attributes_type", ["body", "messages", 0]
    yield {"memories": [{"id": "", "text": "t"}]}, "value_error", ["body"]
    yield {"memories": [{"text": ""}]}, "value_error", ["body"]


@pytest.mark.parametrize(("body", "kind", "loc"), [*_message_rows(), *_field_rows()])
async def test_put_body(
    http: httpx.AsyncClient, body: dict[str, Any], kind: str, loc: list[object]
) -> None:
    """What the contract refuses in a PUT is refused, at the same place and with the same type."""
    assert faults(await http.put(SESSION, json=body)) == [(kind, loc)]
    assert (await http.get(SESSION)).status_code == 404


@pytest.mark.parametrize(
    ("record", "kind", "field"),
    [
        ({"id": None, "text": "t"}, "string_type", "id"),
        ({"id": "m", "text": "t", "topics": ["a,b"]}, "value_error", "topics"),
        ({"id": "m", "text": "t", "entities": ["a,b"]}, "value_error", "entities"),
        ({"id": "m", "text": "t", "extracted_from": ["a,b"]}, "value_error", "extracted_from"),
        ({"id": "m", "text": "t", "memory_type": "x"}, "literal_error", "memory_type"),
        ({"id": "m", "text": "t", "access_count": -1}, "greater_than_equal", "access_count"),
        ({"id": "m"}, "missing", "text"),
    ],
)
async def test_memory_records_are_refused_by_both_arms(
    http: httpx.AsyncClient, record: dict[str, Any], kind: str, field: str
) -> None:
    """A wrong memory record is told from both forms that a record may have."""
    places = [["body", "memories", 0, arm, field] for arm in RECORDS]
    response = await http.put(SESSION, json={"memories": [record]})
    assert faults(response) == [(kind, place) for place in places]


@pytest.mark.parametrize("content", ["", " ", "\n\t\u2003"])
async def test_empty_content_is_400(http: httpx.AsyncClient, content: str) -> None:
    """A content that says nothing is a 400 that names the message."""
    response = await http.put(SESSION, json={"messages": [message(content, id="m1")]})
    assert response.status_code == 400
    assert response.json()["detail"] == "Message content cannot be empty (message ID: m1)"


async def test_timestamps_may_be_required(valkey_url: str) -> None:
    """With REQUIRE_MESSAGE_TIMESTAMPS a message without created_at is a 422."""
    async with serving(valkey_url, require_message_timestamps=True) as http:
        response = await http.put(SESSION, json={"messages": [message("a")]})
        assert faults(response) == [("value_error", ["body", "messages", 0])]
        assert "created_at is required for messages." in response.json()["detail"][0]["msg"]


@pytest.mark.parametrize(
    ("method", "path", "body", "loc"),
    [
        ("POST", MESSAGES, {"messages": []}, ["messages"]),
        ("POST", MESSAGES, {"messages": ["x"]}, ["messages", 0]),
        ("POST", MESSAGES, {}, ["messages"]),
        ("POST", MESSAGES, {"messages": [{}], "ttl_seconds": 0}, ["ttl_seconds"]),
        ("POST", MESSAGES, {"messages": [{}], "namespace": "n"}, []),
        ("PATCH", SESSION, {"messages": []}, []),
        ("PATCH", SESSION, {"ttl_seconds": 0}, ["ttl_seconds"]),
        ("PATCH", SESSION, {"memories": [{"id": "", "text": "t"}]}, []),
        ("POST", "/v1/memory/prompt", {}, ["query"]),
        ("POST", "/v1/memory/prompt", {"query": "q", "session": {}}, ["session", "session_id"]),
    ],
)
async def test_other_bodies(
    http: httpx.AsyncClient, method: str, path: str, body: object, loc: list[object]
) -> None:
    """What our own routes and the prompt do not take is named, but for names that are made up."""
    response = await http.request(method, path, json=body)
    assert response.status_code == 422
    assert [fault["loc"] for fault in response.json()["detail"]] == [["body", *loc]]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"query": "q"}, "Either session or long_term_search must be provided"),
        (
            {"query": "q", "long_term_search": False},
            "Either session or long_term_search must be provided",
        ),
        ({"query": "q", "long_term_search": True}, "Long-term memory is disabled"),
        ({"query": "q", "long_term_search": {"text": "x"}}, "Long-term memory is disabled"),
    ],
)
async def test_prompt_of_nothing(http: httpx.AsyncClient, body: object, detail: str) -> None:
    """A prompt needs a session, for long-term memory is disabled."""
    response = await http.post("/v1/memory/prompt", json=body)
    assert (response.status_code, response.json()["detail"]) == (400, detail)
