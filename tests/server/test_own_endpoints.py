from collections.abc import AsyncIterator
from itertools import chain, pairwise

import httpx
import pytest

from memory_cache import token_counter
from support.in_process import MESSAGES, SESSION, contents, is_error_document, message, serving


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application over an empty store."""
    async with serving(valkey_url) as client:
        yield client


async def post(http: httpx.AsyncClient, *said: str, **headers: str) -> httpx.Response:
    """Append what a user said."""
    body = {"messages": [message(content) for content in said]}
    return await http.post(MESSAGES, json=body, headers=headers)


async def test_append_answers_where_it_is(http: httpx.AsyncClient) -> None:
    """An append makes the session, and answers its seqs, its tokens and its version."""
    _, count = token_counter()
    query = {"namespace": "n"}
    body = {"messages": [message("a"), message("b")]}
    first = (await http.post(MESSAGES, params=query, json=body)).json()
    second = await http.post(MESSAGES, params=query, json={"messages": [message("c")]})
    assert list(first) == [
        *("session_id", "namespace", "user_id", "start", "end"),
        *("first", "next", "token_count", "version"),
    ]
    assert (first["namespace"], first["user_id"]) == ("n", None)
    assert (first["start"], first["end"], first["first"], first["next"]) == (0, 2, 0, 2)
    document = second.json()
    assert (document["start"], document["end"], document["next"]) == (2, 3, 3)
    assert document["token_count"] == sum(count(f"user: {content}") for content in "abc")
    assert document["version"] == second.headers["memory-version"] != first["version"]
    assert contents((await http.get(SESSION, params=query)).json()) == ["a", "b", "c"]


async def test_append_keeps_any_object(http: httpx.AsyncClient) -> None:
    """A message is any JSON object, and comes back as it was sent; the contract sees its text."""
    part = {"role": "assistant", "content": [{"type": "text", "text": "look"}], "n": 1.50}
    call = {"role": "tool", "id": "c", "arguments": {"a": [1, None]}, "ö": "\u2028"}
    await http.post(MESSAGES, json={"messages": [part, call]})
    assert (await http.get(MESSAGES)).json()["messages"] == [part, call]
    seen = (await http.get(SESSION)).json()["messages"]
    assert seen[0]["content"] == "look"
    assert seen[1]["id"] == "c"


async def test_append_sets_the_ttl(http: httpx.AsyncClient) -> None:
    """An append may say how long the session lives; the next one leaves that as it is."""
    await http.post(MESSAGES, json={"messages": [message("a")], "ttl_seconds": 60})
    await post(http, "b")
    assert (await http.get(SESSION)).json()["ttl_seconds"] == 60


async def test_idempotency_key_appends_once(http: httpx.AsyncClient) -> None:
    """Under one Idempotency-Key the same append is done once, and another one is refused."""
    key = {"Idempotency-Key": "k"}
    first = await post(http, "a", **key)
    again = await post(http, "a", **key)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    other = await post(http, "b", **key)
    assert (other.status_code, other.json()["code"]) == (422, "operation_reused")
    assert is_error_document(other, change=True)
    assert (await http.get(MESSAGES)).json()["next"] == 1


async def test_every_change_takes_an_idempotency_key(http: httpx.AsyncClient) -> None:
    """PUT, PATCH and DELETE sent again under their key are done once."""
    for method, body in [("PUT", {"context": "a"}), ("PATCH", {"context": "b"}), ("DELETE", None)]:
        headers = {"Idempotency-Key": method}
        first = await http.request(method, SESSION, json=body, headers=headers)
        again = await http.request(method, SESSION, json=body, headers=headers)
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true", method
        assert again.headers["memory-version"] == first.headers["memory-version"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", range(100, 150)),
        ("limit=2", range(148, 150)),
        ("after=-1&limit=3", range(3)),
        ("after=9&limit=2", range(10, 12)),
        ("after=148", range(149, 150)),
        ("after=149", range(150, 150)),
        ("before=10&limit=4", range(6, 10)),
        ("before=2", range(2)),
        ("before=0", range(0)),
        ("before=1000&limit=1", range(149, 150)),
    ],
)
async def test_pages(http: httpx.AsyncClient, query: str, expected: range) -> None:
    """A page is the newest messages, or those on one side of a seq, and says where it stands."""
    await post(http, *[f"{at}" for at in range(150)])
    document = (await http.get(f"{MESSAGES}?{query}")).json()
    assert contents(document) == [f"{at}" for at in expected]
    assert (document["start"], document["end"]) == (expected.start, expected.stop)
    assert (document["first"], document["next"]) == (0, 150)
    assert list(document) == ["messages", "start", "end", "first", "next", "version"]


async def test_pages_join_up(http: httpx.AsyncClient) -> None:
    """Reading on from each page's end gives every message once, at one version."""
    await post(http, *[f"{at}" for at in range(200)])
    pages = [(await http.get(f"{MESSAGES}?after=-1&limit=70")).json()]
    while pages[-1]["end"] < pages[-1]["next"]:
        at = pages[-1]["end"] - 1
        pages.append((await http.get(f"{MESSAGES}?after={at}&limit=70")).json())
    assert all(before["end"] == page["start"] for before, page in pairwise(pages))
    assert list(chain(*map(contents, pages))) == [f"{at}" for at in range(200)]
    assert len({page["version"] for page in pages}) == 1


async def test_own_routes_take_names_exactly(http: httpx.AsyncClient) -> None:
    """Appends, pages and PATCH mean the session of just this name, not one that is like it."""
    await http.put(SESSION, json={"namespace": "n", "messages": [message("a")]})
    assert (await http.get(MESSAGES)).status_code == 404
    await http.patch(SESSION, json={"context": "c"})
    assert (await http.get("/v1/working-memory/")).json()["total"] == 2


async def test_patch_touches_what_is_given(http: httpx.AsyncClient) -> None:
    """PATCH replaces the fields given, clears those given as null, and leaves all others."""
    whole = {"messages": [message("a")], "data": {"a": 1}, "context": "c", "tokens": 3}
    before = (await http.put(SESSION, json={**whole, "ttl_seconds": 60})).json()
    patch = {
        "context": None,
        "tokens": 4,
        "memories": [{"text": "t"}],
        "long_term_memory_strategy": {"strategy": "summary"},
    }
    response = await http.patch(SESSION, json=patch)
    assert response.json()["version"] == response.headers["memory-version"]
    after = (await http.get(SESSION)).json()
    assert after["messages"] == before["messages"]
    assert (after["context"], after["tokens"], after["data"]) == (None, 4, {"a": 1})
    assert after["memories"][0]["text"] == "t"
    assert after["long_term_memory_strategy"] == {"strategy": "summary", "config": {}}
    assert after["ttl_seconds"] == 60
    await http.patch(SESSION, json={"ttl_seconds": None, "data": None})
    cleared = (await http.get(SESSION)).json()
    assert (cleared["ttl_seconds"], cleared["data"]) == (None, {})


async def test_patch_makes_the_session(http: httpx.AsyncClient) -> None:
    """PATCH of a session that does not exist makes it."""
    response = await http.patch(SESSION, json={"data": {"a": 1}, "ttl_seconds": 60})
    assert response.status_code == 200
    document = (await http.get(SESSION)).json()
    assert (document["messages"], document["data"]) == ([], {"a": 1})
    assert document["ttl_seconds"] == 60


async def test_a_put_that_brings_back_what_was_appended_keeps_it(http: httpx.AsyncClient) -> None:
    """A client that reads all and writes all back leaves messages of any shape as they are."""
    sent = [{"role": "assistant", "content": [{"text": "a"}]}, {"event": "x"}]
    await http.post(MESSAGES, json={"messages": sent})
    document = (await http.get(SESSION)).json()
    grown = [*document["messages"], message("b")]
    await http.put(SESSION, json={**document, "messages": grown})
    assert (await http.get(MESSAGES)).json()["messages"][:2] == sent
