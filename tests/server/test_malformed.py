import json
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory_cache import StoreError
from support.in_process import MESSAGES, SESSION, faults, is_error_document, message, serving

JSON_HEADERS = {"content-type": "application/json"}
MAX_BODY_BYTES = 100_000
SECRET = "kept from the log"


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application over an empty store, with a limit on bodies that is easily met."""
    async with serving(valkey_url, max_body_bytes=MAX_BODY_BYTES) as client:
        yield client


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 422, "invalid_input"),
        (b"null", 422, "invalid_input"),
        (b"[]", 422, "invalid_input"),
        (b'"x"', 422, "invalid_input"),
        (b"{a", 422, "invalid_json"),
        (b'{"context": "secret"', 422, "invalid_json"),
        (b'{"tokens": NaN}', 422, "invalid_json"),
        (b'{"tokens": Infinity}', 422, "invalid_json"),
        (b'{"context": "\\ud800"}', 422, "invalid_json"),
        (b'{"context": "\xff"}', 422, "invalid_json"),
        (b"\xef\xbb\xbf{}", 422, "invalid_json"),
        ('{"context": "x"}'.encode("utf-16"), 422, "invalid_json"),
        (b"{} {}", 422, "invalid_json"),
        (b"[" * 50_000, 422, "invalid_json"),
        (b'{"data": {"a": ' + b"[" * 100 + b"]" * 100 + b"}}", 400, "invalid_json"),
        (b'{"data": {"a": 12345678901234567890123}}', 400, "invalid_json"),
        (b'{"data": {"a": 1e400}}', 422, "invalid_json"),
        (b'{"data": {"a": 0.12345678901234567890123}}', 400, "invalid_json"),
        (b'{"context": "a", "context": "b"}', 400, "invalid_json"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_json_rules(
    http: httpx.AsyncClient, method: str, raw: bytes, status: int, code: str
) -> None:
    """What is not JSON, or could not be kept as it is, is refused, and nothing of it repeated."""
    response = await http.request(method, SESSION, content=raw, headers=JSON_HEADERS)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert is_error_document(response, change=True)
    assert "secret" not in response.text


async def test_json_faults_say_where(http: httpx.AsyncClient) -> None:
    """A syntax error is told with its position, a missing body as missing."""
    broken = await http.put(SESSION, content=b"{a", headers=JSON_HEADERS)
    assert faults(broken) == [("json_invalid", ["body", 1])]
    assert faults(await http.put(SESSION)) == [("missing", ["body"])]


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data"])
async def test_only_json_is_a_body(http: httpx.AsyncClient, content_type: str) -> None:
    """A body that says to be something else is none of ours."""
    response = await http.put(SESSION, content=b"{}", headers={"content-type": content_type})
    assert faults(response) == [("model_attributes_type", ["body"])]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/merge-patch+json", None]
)
async def test_json_by_other_names(http: httpx.AsyncClient, content_type: str | None) -> None:
    """Every kind of JSON is JSON, and a body that does not say is taken for it."""
    headers = {"content-type": content_type} if content_type else {}
    assert (await http.put(SESSION, content=b"{}", headers=headers)).status_code == 200


async def test_page_of_another_site_writes_nothing(http: httpx.AsyncClient) -> None:
    """A body that a browser sends for any page's asking, without a type, is none of ours."""
    body = json.dumps({"messages": [message("planted")]})
    headers = {"origin": "https://elsewhere.example"}
    response = await http.post(MESSAGES, content=body, headers=headers)
    assert faults(response) == [("model_attributes_type", ["body"])]
    assert (await http.get(SESSION)).status_code == 404
    assert (await http.post(MESSAGES, content=body, headers=headers | JSON_HEADERS)).is_success


@pytest.mark.parametrize(
    ("url", "loc"),
    [
        ("/v1/working-memory/a%ff", ["path"]),
        ("/v1/working-memory/%c0%af", ["path"]),
        ("/v1/working-memory/%ed%a0%80", ["path"]),
        (f"{SESSION}?namespace=%ff", ["query"]),
        ("/v1/working-memory/a%00", ["path", "session_id"]),
        ("/v1/working-memory/a%0A", ["path", "session_id"]),
        (f"/v1/working-memory/{'a' * 513}", ["path", "session_id"]),
        (f"/v1/working-memory/{'%C3%A4' * 257}", ["path", "session_id"]),
        (f"{SESSION}?namespace=a%7F", ["query", "namespace"]),
        (f"{SESSION}?user_id={'u' * 513}", ["query", "user_id"]),
    ],
)
async def test_names(http: httpx.AsyncClient, url: str, loc: list[str]) -> None:
    """A name that is not UTF-8, not printable or too long is a 422 that says which."""
    for method in ("GET", "DELETE"):
        response = await http.request(method, url)
        assert faults(response) == [("invalid_name", loc)]
        assert response.json()["code"] == "invalid_name"


async def test_names_in_a_body(http: httpx.AsyncClient) -> None:
    """A PUT's scope and a prompt's session are checked where they stand."""
    put = await http.put(SESSION, json={"namespace": "\u0000"})
    assert faults(put) == [("invalid_name", ["body", "namespace"])]
    session = {"session_id": "", "namespace": "n"}
    prompt = await http.post("/v1/memory/prompt", json={"query": "q", "session": session})
    assert prompt.json()["detail"][0]["loc"] == ["body", "session", "session_id"]
    listed = await http.get("/v1/working-memory/?namespace=%00")
    assert faults(listed) == [("invalid_name", ["query", "namespace"])]


@pytest.mark.parametrize(
    "name", ["a b", "ä/%?#".replace("/", ""), "%25", "a{b}", "日本", "'\"<>", "."]
)
async def test_any_printable_name_will_do(http: httpx.AsyncClient, name: str) -> None:
    """Any printable name is one session, and comes back as it was given."""
    path = "/v1/working-memory/" + "".join(f"%{byte:02X}" for byte in name.encode())
    assert (await http.put(path, json={"namespace": name})).status_code == 200
    document = (await http.get(path, params={"namespace": name})).json()
    assert (document["session_id"], document["namespace"]) == (name, name)


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, 1000):
        yield b" " * 1000


@pytest.mark.parametrize("declared", [None, "2", "1e9", "999999999999999999999999999"])
async def test_large_body_is_413(http: httpx.AsyncClient, declared: str | None) -> None:
    """A body over the limit is a 413, whatever it said of its length."""
    headers = {**JSON_HEADERS, **({"content-length": declared} if declared else {})}
    content = _chunks(MAX_BODY_BYTES + 1000)
    response = await http.put(SESSION, content=content, headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert is_error_document(response, change=True)


async def test_body_declared_too_large_is_not_read(http: httpx.AsyncClient) -> None:
    """A body that says it is over the limit is refused before any of it is read."""

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    headers = {**JSON_HEADERS, "content-length": f"{MAX_BODY_BYTES + 1}"}
    response = await http.put(SESSION, content=unread(), headers=headers)
    assert response.status_code == 413


async def test_large_message_is_413(valkey_url: str) -> None:
    """A message over its limit is a 413 that names it."""
    async with serving(valkey_url, max_message_bytes=1000) as http:
        said = [message("a"), message("b" * 1000)]
        for method, path in [("PUT", SESSION), ("POST", MESSAGES)]:
            response = await http.request(method, path, json={"messages": said})
            assert response.status_code == 413
            assert response.json()["detail"].startswith("messages[1]")


async def test_a_fault_of_ours_is_a_500_document(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What we did not foresee is a document with an id that the log has, and no input."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("memory_cache_server.routes_contract.session_document", broken)
    response = await http.put(SESSION, json={"context": SECRET})
    assert response.status_code == 500
    assert is_error_document(response, change=True)
    assert response.json()["applied"] == "unknown"
    assert response.json()["request_id"] in caplog.text
    assert "RuntimeError" in caplog.text
    assert SECRET not in response.text + caplog.text


async def test_applied_unknown_is_said(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change whose answer was lost says that it may have happened."""

    async def lost(*_: object, **__: object) -> None:
        raise StoreError("the answer was lost", applied="unknown")

    monkeypatch.setattr("memory_cache.Session.append", lost)
    response = await http.post(MESSAGES, json={"messages": [{}]})
    assert (response.status_code, response.json()["applied"]) == (503, "unknown")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["", "t", "user", "2026-01-01T00:00:00Z", "1e5", "\x00", "ä", "0001-01-01"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "role": VALUES,
        "content": VALUES,
        "id": VALUES,
        "text": VALUES,
        "topics": VALUES,
        "created_at": VALUES,
        "persisted_at": VALUES,
        "discrete_memory_extracted": VALUES,
    },
)
BODIES = VALUES | st.fixed_dictionaries(
    {},
    optional={
        "messages": VALUES | st.lists(KNOWN | VALUES, max_size=3),
        "memories": VALUES | st.lists(KNOWN | VALUES, max_size=3),
        "data": VALUES,
        "context": VALUES,
        "tokens": VALUES,
        "ttl_seconds": VALUES,
        "namespace": VALUES,
        "user_id": VALUES,
        "long_term_memory_strategy": VALUES,
        "last_accessed": VALUES,
        "query": VALUES,
        "session": VALUES | st.fixed_dictionaries({"session_id": VALUES}),
    },
)
ROUTES = [("PUT", SESSION), ("POST", MESSAGES), ("PATCH", SESSION), ("POST", "/v1/memory/prompt")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(body=BODIES, route=st.sampled_from(ROUTES), junk=st.binary(max_size=3))
async def test_no_body_is_our_fault(
    http: httpx.AsyncClient, body: object, route: tuple[str, str], junk: bytes
) -> None:
    """Whatever the body, it is taken, or refused by the error document with a 4xx."""
    method, path = route
    content = json.dumps(body).encode() + junk
    response = await http.request(method, path, content=content, headers=JSON_HEADERS)
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        assert is_error_document(response, change=path != "/v1/memory/prompt")
    else:
        read = await http.get(SESSION)
        assert read.status_code in {200, 404}
