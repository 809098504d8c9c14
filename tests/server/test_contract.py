import logging
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from memory_cache import token_counter
from support.in_process import SESSION, contents, message, serving
from support.valkey import ValkeyServer

FIELDS = [
    "messages",
    "memories",
    "data",
    "context",
    "user_id",
    "tokens",
    "session_id",
    "namespace",
    "long_term_memory_strategy",
    "ttl_seconds",
    "last_accessed",
    "created_at",
    "updated_at",
    "context_percentage_total_used",
    "context_percentage_until_summarization",
]
MESSAGE_FIELDS = [
    "role",
    "content",
    "id",
    "created_at",
    "persisted_at",
    "discrete_memory_extracted",
]


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application over an empty store."""
    async with serving(valkey_url) as client:
        yield client


async def put(http: httpx.AsyncClient, *said: str, session: str = SESSION, **body: object) -> None:
    """Make a session of what a user said, in this order."""
    messages = [message(content, id=f"m{at}") for at, content in enumerate(said)]
    response = await http.put(session, json={"messages": messages, **body})
    assert response.status_code == 200


async def test_health_is_milliseconds(http: httpx.AsyncClient) -> None:
    """Health answers an integer of milliseconds."""
    now = (await http.get("/v1/health")).json()["now"]
    assert isinstance(now, int)
    assert now > 1_700_000_000_000


async def test_put_echoes_the_session(http: httpx.AsyncClient) -> None:
    """A PUT answers the whole session, every field in the contract's order, nulls included."""
    sent = message("hi", id="a", created_at="2026-01-01T00:00:01+02:00")
    body = {"messages": [sent], "tokens": 7, "user_id": "u", "namespace": "n", "ttl_seconds": 60}
    response = await http.put(SESSION, json={**body, "session_id": "ignored", "unknown": 1})
    document = response.json()
    assert list(document) == FIELDS
    assert list(document["messages"][0]) == MESSAGE_FIELDS
    rest = {"persisted_at": None, "discrete_memory_extracted": "f"}
    assert document["messages"] == [{**sent, **rest}]
    assert document["data"] is None
    assert document["session_id"] == "s"
    assert {name: document[name] for name in body} == {**body, "messages": document["messages"]}
    assert document["long_term_memory_strategy"] == {"strategy": "discrete", "config": {}}
    assert "x-deprecation-warning" not in response.headers


async def test_empty_scope_is_none(http: httpx.AsyncClient) -> None:
    """An empty namespace or user is none, in the echo as in what is read later."""
    echoed = (await http.put(SESSION, json={"namespace": "", "user_id": ""})).json()
    read = (await http.get(f"{SESSION}?namespace=&user_id=")).json()
    assert [echoed["namespace"], echoed["user_id"]] == [None, None]
    assert [read["namespace"], read["user_id"]] == [None, None]


async def test_get_answers_what_was_put(http: httpx.AsyncClient) -> None:
    """A GET answers what the PUT echoed, but for data, which is an object where none was sent."""
    body = {"messages": [message("a"), message("b")], "context": "c"}
    echoed = (await http.put(SESSION, json=body)).json()
    response = await http.get(SESSION)
    assert list(response.json()) == FIELDS
    assert response.json() == {**echoed, "data": {}}


async def test_data_keeps_its_values(http: httpx.AsyncClient) -> None:
    """Data comes back as it was sent, value for value."""
    data = {"a": 1, "b": 1.0, "c": True, "d": None, "e": [1, "x"], "f": {"g": 2}}
    await http.put(SESSION, json={"data": data})
    assert '"data":{"a":1,"b":1.0,"c":true,"d":null,"e":[1,"x"],"f":{"g":2}}' in (
        (await http.get(SESSION)).text
    )


async def test_missing_times_are_made_and_warned_of(http: httpx.AsyncClient) -> None:
    """Messages without id and time get both, ascending, and a header says that this will end."""
    response = await http.put(SESSION, json={"messages": [message("a"), message("b")]})
    first, second = response.json()["messages"]
    assert response.headers["x-deprecation-warning"].startswith("messages[].created_at will")
    assert len(first["id"]) == 26
    assert first["id"] != second["id"]
    assert first["created_at"] < second["created_at"]


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("2026-06-25T18:00:00Z", "2026-06-25T18:00:00Z"),
        ("2026-06-25T18:00:00.12Z", "2026-06-25T18:00:00.120000Z"),
        ("2026-06-25T18:00:00.123456789Z", "2026-06-25T18:00:00.123456Z"),
        ("2026-01-01T00:00:01+02:00", "2026-01-01T00:00:01+02:00"),
        ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
        (1700000000, "2023-11-14T22:13:20Z"),
    ],
)
async def test_times_always_have_a_zone(
    http: httpx.AsyncClient, sent: object, answered: str
) -> None:
    """A message's time is answered in the contract's form; without a zone it means UTC."""
    said = message("a", created_at=sent, persisted_at=sent)
    await http.put(SESSION, json={"messages": [said], "last_accessed": sent})
    document = (await http.get(SESSION)).json()
    assert document["messages"][0]["created_at"] == answered
    assert document["messages"][0]["persisted_at"] == answered
    assert document["last_accessed"] == answered


async def test_created_at_is_the_creation(http: httpx.AsyncClient) -> None:
    """A session's created_at is when it was created, whatever later PUTs say."""
    first = (await http.put(SESSION, json={})).json()
    again = (await http.put(SESSION, json={"created_at": "2020-01-01T00:00:00Z"})).json()
    assert again["created_at"] == first["created_at"]
    assert again["updated_at"] > first["updated_at"]


async def test_missing_session_is_404(http: httpx.AsyncClient) -> None:
    """A session that does not exist is answered in the contract's words."""
    response = await http.get("/v1/working-memory/no pe")
    assert response.status_code == 404
    assert response.json()["detail"] == "Session no pe not found"


async def test_store_fault_is_503_and_never_404() -> None:
    """While the store is down every route about sessions says so, with Retry-After."""
    with ValkeyServer() as server:
        async with serving(server.url, store_timeout_seconds=0.2) as http:
            await put(http, "a")
            server.kill()
            prompt = {"query": "q", "session": {"session_id": "s"}}
            for method, path, body in [
                ("GET", SESSION, None),
                ("GET", f"{SESSION}/messages", None),
                ("GET", "/v1/working-memory/", None),
                ("PUT", SESSION, {}),
                ("PATCH", SESSION, {"context": "c"}),
                ("POST", f"{SESSION}/messages", {"messages": [{"a": 1}]}),
                ("POST", "/v1/memory/prompt", prompt),
                ("DELETE", SESSION, None),
            ]:
                response = await http.request(method, path, json=body)
                assert response.status_code == 503, (method, path)
                assert response.headers["retry-after"] == "1"
                assert response.json()["code"] == "store_unavailable"


async def test_empty_scope_is_no_scope(http: httpx.AsyncClient) -> None:
    """An empty namespace or user_id is the same as none."""
    await put(http, "a", namespace="", user_id="")
    document = (await http.get(SESSION, params={"namespace": "", "user_id": ""})).json()
    assert (document["namespace"], document["user_id"]) == (None, None)


async def test_put_scope_is_the_body_alone(http: httpx.AsyncClient) -> None:
    """PUT ignores namespace and user_id of the query: one client sends them swapped."""
    await http.put(SESSION, json={"namespace": "n"}, params={"namespace": "u", "user_id": "n"})
    assert (await http.get(SESSION, params={"namespace": "n"})).json()["namespace"] == "n"
    assert (await http.get("/v1/working-memory/", params={"namespace": "u"})).json()["total"] == 0


async def test_lookup_by_id_alone(http: httpx.AsyncClient) -> None:
    """An id alone finds the one session that has it; two of them are none; its own scope wins."""
    await put(http, "a", namespace="n1", user_id="u")
    assert contents((await http.get(SESSION)).json()) == ["a"]
    assert (await http.get(SESSION)).json()["namespace"] == "n1"
    await put(http, "b", namespace="n2", user_id="u")
    assert (await http.get(SESSION)).status_code == 404
    assert contents((await http.get(SESSION, params={"namespace": "n2"})).json()) == ["b"]
    assert (await http.get(SESSION, params={"user_id": "other"})).status_code == 404
    await put(http, "bare")
    assert contents((await http.get(SESSION)).json()) == ["bare"]


async def test_names_are_exact(http: httpx.AsyncClient) -> None:
    """Another spelling is another session: by case, by a comma, by a colon."""
    for session in ("CaseSess", "aa,bb", "a:b"):
        await put(http, "x", session=f"/v1/working-memory/{session}")
    for other in ("casesess", "bb", "b"):
        assert (await http.get(f"/v1/working-memory/{other}")).status_code == 404
    response = await http.get("/v1/working-memory/b", params={"namespace": "a"})
    assert response.status_code == 404


async def test_one_scope_is_tried_as_the_other(http: httpx.AsyncClient) -> None:
    """Only user_id or only namespace given: on a miss the value is tried as the other."""
    for given, other in [("namespace", "user_id"), ("user_id", "namespace")]:
        await put(http, "a", **{given: "x"})
        document = (await http.get(SESSION, params={other: "x"})).json()
        assert (document["namespace"], document["user_id"]) == ("x", "x")
        assert (await http.delete(SESSION, params={other: "x"})).json() == {"status": "ok"}
        assert (await http.get(SESSION, params={given: "x"})).status_code == 404


async def test_delete_is_always_ok(http: httpx.AsyncClient) -> None:
    """DELETE answers ok with and without a session, and finds one by its id alone."""
    assert (await http.delete(SESSION)).json() == {"status": "ok"}
    await put(http, "a", namespace="n", user_id="u")
    assert (await http.delete(SESSION)).json() == {"status": "ok"}
    assert (await http.get(SESSION)).status_code == 404


async def test_ambiguous_delete_deletes_nothing(http: httpx.AsyncClient) -> None:
    """An id alone that two sessions have deletes neither, and is ok."""
    await put(http, "a", namespace="n1")
    await put(http, "b", namespace="n2")
    assert (await http.delete(SESSION)).json() == {"status": "ok"}
    assert (await http.get("/v1/working-memory/")).json()["total"] == 2


async def test_list(http: httpx.AsyncClient) -> None:
    """The list holds bare ids, a page of them, and counts all of the scope."""
    empty = await http.get("/v1/working-memory/")
    assert empty.json() == {"sessions": [], "total": 0}
    for at in range(3):
        await put(http, "a", session=f"/v1/working-memory/s{at}", namespace="n", user_id=f"u{at}")
    everything = (await http.get("/v1/working-memory/", params={"namespace": "n"})).json()
    assert sorted(everything["sessions"]) == ["s0", "s1", "s2"]
    page = (await http.get("/v1/working-memory/?limit=2&offset=2")).json()
    assert (len(page["sessions"]), page["total"]) == (1, 3)
    assert (await http.get("/v1/working-memory/?user_id=u1")).json()["sessions"] == ["s1"]
    assert (await http.get("/v1/working-memory/?namespace=N")).json()["total"] == 0
    beyond = (await http.get(f"/v1/working-memory/?offset={10**25}")).json()
    assert beyond == {"sessions": [], "total": 3}


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/v1/working-memory", "http://test/v1/working-memory/"),
        ("/v1/working-memory/x/", "http://test/v1/working-memory/x"),
    ],
)
async def test_slash_is_redirected(http: httpx.AsyncClient, path: str, location: str) -> None:
    """A slash too few or too many is redirected with 307."""
    response = await http.get(path)
    assert (response.status_code, response.headers["location"]) == (307, location)


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/v1/nothing", 404, "Not Found"),
        ("GET", "//v1/working-memory/", 404, "Not Found"),
        ("GET", "/v1/working-memory/a%2Fb", 404, "Not Found"),
        ("POST", "/v1/health", 405, "Method Not Allowed"),
        ("PUT", "/v1/working-memory/", 405, "Method Not Allowed"),
    ],
)
async def test_routing_keeps_the_framework_words(
    http: httpx.AsyncClient, method: str, path: str, status: int, detail: str
) -> None:
    """What no route takes is answered in the framework's words."""
    response = await http.request(method, path)
    assert (response.status_code, response.json()["detail"]) == (status, detail)


async def test_ttl(http: httpx.AsyncClient, valkey: ValkeyServer) -> None:
    """A PUT's ttl expires the session; without one the old deadline ticks on, unseen."""
    await put(http, "a", ttl_seconds=60)
    assert (await http.get(SESSION)).json()["ttl_seconds"] == 60
    await put(http, "a", "b")
    assert (await http.get(SESSION)).json()["ttl_seconds"] is None
    with valkey.admin as admin:
        expiring = [key for key in admin.scan_iter() if b"{" in key and admin.ttl(key) > 0]
    assert expiring


async def test_memories_get_ids(http: httpx.AsyncClient) -> None:
    """A memory record without an id is given one; times get a zone; the rest is as sent."""
    records = [{"text": "likes tea"}, {"id": "p", "text": "t", "event_date": "2026-01-01T00:00:00"}]
    echoed = (await http.put(SESSION, json={"memories": records})).json()["memories"]
    assert len(echoed[0]["id"]) == 26
    assert (echoed[1]["id"], echoed[1]["event_date"]) == ("p", "2026-01-01T00:00:00Z")
    assert (echoed[0]["pinned"], echoed[0]["memory_type"]) == (False, "message")
    assert (await http.get(SESSION)).json()["memories"] == echoed


async def test_prompt(http: httpx.AsyncClient) -> None:
    """A prompt is the summary, the messages as user or assistant, and the question."""
    said = [message("hi"), {"role": "tool", "content": "42"}]
    await http.put(SESSION, json={"messages": said, "context": "ctx", "namespace": "n"})
    session = {"session_id": "s", "context_window_max": "500"}
    response = await http.post("/v1/memory/prompt", json={"query": "q", "session": session})
    summary = "## A summary of the conversation so far:\nctx"
    expected = [("system", summary), ("user", "hi"), ("assistant", "42"), ("user", "q")]
    assert response.json() == {
        "messages": [
            {
                "role": role,
                "content": {"type": "text", "text": text, "annotations": None, "_meta": None},
            }
            for role, text in expected
        ],
        "long_term_memories": None,
    }


async def test_prompt_without_a_session_to_find(http: httpx.AsyncClient) -> None:
    """A session that does not exist is an empty one to a prompt."""
    body = {"query": "q", "session": {"session_id": "s"}, "long_term_search": False}
    response = await http.post("/v1/memory/prompt?optimize_query=false", json=body)
    assert [said["content"]["text"] for said in response.json()["messages"]] == ["q"]


async def test_long_term_memory_is_disabled(http: httpx.AsyncClient) -> None:
    """Long-term memory answers that it is disabled."""
    response = await http.post("/v1/long-term-memory/", json={"memories": []})
    assert response.status_code == 400
    assert response.json()["detail"] == "Long-term memory is disabled"


async def test_the_log_says_how_tokens_are_counted(
    valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which token counter is used."""
    with caplog.at_level(logging.INFO, logger="memory_cache_server"):
        async with serving(valkey_url):
            name, _ = token_counter()
            assert f"tokens are counted by {name}" in caplog.text


async def test_no_page_of_another_host(http: httpx.AsyncClient) -> None:
    """The framework's pages, which load scripts from elsewhere, are off; the document is there."""
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        assert (await http.get(path)).status_code == 404
    assert (await http.get("/openapi.json")).json()["openapi"].startswith("3.")


async def test_openapi_describes_every_route(http: httpx.AsyncClient) -> None:
    """OpenAPI names each route's bodies, queries and answers, and every reference leads on."""
    response = await http.get("/openapi.json")
    document = response.json()
    session = document["paths"]["/v1/working-memory/{session_id}"]
    assert session.keys() == {"get", "put", "patch", "delete"}
    for path, method, body in [
        (session, "put", "PutSession"),
        (session, "patch", "PatchSession"),
        (document["paths"]["/v1/working-memory/{session_id}/messages"], "post", "PostMessages"),
        (document["paths"]["/v1/memory/prompt"], "post", "PromptBody"),
    ]:
        content = path[method]["requestBody"]["content"]["application/json"]
        assert content["schema"]["$ref"].endswith(f"/{body}")
    named = {parameter["name"] for parameter in session["get"]["parameters"]}
    assert named >= {"session_id", "namespace", "recent_messages_limit", "If-None-Match"}
    answers = {
        status: answer["content"]
        for status, answer in session["get"]["responses"].items()
        if "content" in answer
    }
    assert answers["200"]["application/json"]["schema"]["$ref"].endswith("/SessionDocument")
    assert answers["404"]["application/json"]["schema"]["$ref"].endswith("/ErrorDocument")
    references = set(re.findall(r'"#/components/schemas/(\w+)"', response.text))
    assert references <= document["components"]["schemas"].keys()
