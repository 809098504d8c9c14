"""Which session an id means, where very many have it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from support.commands import in_thread
from support.in_process import SESSION, contents, is_error_document, message, serving
from support.valkey import ValkeyServer

PROMPT = "/v1/memory/prompt"


@pytest.fixture
async def http(valkey: ValkeyServer, valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application over a store whose index has more of an id than a look-up reads."""
    with valkey.admin as client:
        for name in ("mc:id:s", "mc:active:n:n"):
            client.zadd(name, {f"n/u{at}/s": at + 1 for at in range(40_000)})
    async with serving(valkey_url, inspect=True) as http:
        body = {"messages": [message("mine")], "namespace": "n", "user_id": "mine"}
        (await http.put(SESSION, json=body)).raise_for_status()
        yield http


@pytest.mark.parametrize(
    ("query", "missing"),
    [({}, "namespace and user_id"), ({"namespace": "n"}, "user_id")],
)
async def test_too_many_to_look_through(
    http: httpx.AsyncClient, query: dict[str, str], missing: str
) -> None:
    """No 404, which clients answer with a PUT: the error says which part of the scope to give."""
    answers = [
        await http.get(SESSION, params=query),
        await http.delete(SESSION, params=query),
        await http.post(PROMPT, json={"query": "?", "session": {"session_id": "s", **query}}),
    ]
    for answer in answers:
        assert answer.status_code == 422
        assert is_error_document(answer, change=answer.request.method == "DELETE")
        assert answer.json()["code"] == "scope_needed"
        assert answer.json()["detail"].startswith(f"{missing}: must be given, too")
    assert answers[1].json()["applied"] == "no"
    for given in ({"namespace": "n", "user_id": "mine"}, {"user_id": "mine"}):
        assert contents((await http.get(SESSION, params=given)).json()) == ["mine"]


async def test_more_than_are_shown(http: httpx.AsyncClient, valkey: ValkeyServer) -> None:
    """Who looks for an id is shown some of the sessions that have it, and told of more."""
    for at in range(12):
        body = {"messages": [message("hi")], "namespace": f"m{at}"}
        (await http.put("/v1/working-memory/several", json=body)).raise_for_status()
    url = ("--redis-url", valkey.url)
    ran = await in_thread("sessions", "--id", "several", "--limit", "11", *url)
    assert "11, and there are more; --limit says how many" in ran.out
    ran = await in_thread("sessions", "--id", "several", "--limit", "12", *url)
    assert "more" not in ran.out
    ran = await in_thread("show", "several", *url)
    assert ran.code == 1
    assert "; --namespace m9; and more" in ran.err
    ran = await in_thread("show", "s", *url)
    assert ran.err.startswith("memory-cache: namespace and user_id: must be given, too")
    query: dict[str, str | int] = {"session_id": "several", "limit": 11}
    found = (await http.get("/inspect/data/sessions", params=query)).json()
    assert (len(found["sessions"]), found["total"]) == (11, 12)
