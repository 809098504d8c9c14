"""The inspector: that it is off, what it is made of, and the data behind its page."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import httpx
import pytest

from memory_cache import ContractMessage, open_cache
from support.in_process import MESSAGES, SESSION, message, serving
from support.project import ROOT
from support.serving import WAIT_SECONDS

PAGE = "/inspect"
PARTS = re.compile(r'(?:src|href)="inspect/([^"]+)"|from "\./([^"]+)"')
ROUTES = [
    "",
    "/page.css",
    "/page.js",
    "/data/sessions",
    "/data/worker",
    "/data/session?session_id=s",
]


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application over an empty store, with the inspector on."""
    async with serving(valkey_url, inspect=True) as client:
        yield client


async def data(http: httpx.AsyncClient, path: str, **query: str | int) -> Any:  # noqa: ANN401  JSON
    """Some data of the inspector."""
    response = await http.get(f"{PAGE}/data/{path}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("path", ROUTES)
async def test_off_unless_asked_for(valkey_url: str, path: str) -> None:
    """Where it is not asked for, each of its paths is answered as any path that is none."""
    async with serving(valkey_url) as http:
        await http.post(MESSAGES, json={"messages": [message("a")]})
        answer, none = await http.get(PAGE + path), await http.get("/nothing")
        assert (answer.status_code, answer.content) == (404, none.content)


@pytest.mark.parametrize("path", ROUTES)
async def test_headers(http: httpx.AsyncClient, path: str) -> None:
    """Page, parts and data may not be cached, framed, or run or load what is not ours."""
    await http.post(MESSAGES, json={"messages": [message("a")]})
    headers = (await http.get(PAGE + path)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert {policy.pop(name) for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert set(policy.values()) == {"'none'"}
    assert {"default-src", "frame-ancestors", "form-action", "base-uri"} <= policy.keys()
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


async def test_page_is_complete(http: httpx.AsyncClient) -> None:
    """Everything the page names is served by us, and it names no other address."""
    wanted, seen = {""}, set[str]()
    kinds = {"": "text/html", "css": "text/css", "js": "text/javascript"}
    while wanted:
        name = wanted.pop()
        seen.add(name)
        answer = await http.get(f"{PAGE}/{name}" if name else PAGE)
        assert answer.status_code == 200, name
        assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
        assert "://" not in answer.text, name
        wanted |= {one or two for one, two in PARTS.findall(answer.text)} - seen
    assert seen - {""} == {path.name for path in folder() if path.suffix in {".css", ".js"}}


@pytest.mark.parametrize(
    "name", ["page.html", "routes.py", "none.js", "..%5croutes.py", "__init__.py"]
)
async def test_nothing_else_is_served(http: httpx.AsyncClient, name: str) -> None:
    """Of the folder that the page lies in, only the parts of the page are served."""
    assert (await http.get(f"{PAGE}/{name}")).status_code == 404


def folder() -> list[Any]:
    """The files of the package, as they were written."""
    return [
        path for path in (ROOT / "server/memory_cache_server/inspector").iterdir() if path.suffix
    ]


def test_parts_are_installed() -> None:
    """Every part of the page is installed beside the module that serves it, unchanged."""
    installed = files("memory_cache_server.inspector")
    for path in folder():
        assert installed.joinpath(path.name).read_bytes() == path.read_bytes()


async def test_is_in_no_description(http: httpx.AsyncClient) -> None:
    """The API's description does not promise what the inspector uses."""
    assert "inspect" not in (await http.get("/openapi.json")).text


async def test_sessions_by_activity(http: httpx.AsyncClient) -> None:
    """Sessions come with their scope, the most recent first, in pages, of a scope if given."""
    for session, scope in [("a", {}), ("b", {"namespace": "n"}), ("c", {"user_id": "u"})]:
        url = f"/v1/working-memory/{session}/messages"
        await http.post(url, params=scope, json={"messages": [message("x")]})
    listed = await data(http, "sessions")
    assert [each["session_id"] for each in listed["sessions"]] == ["c", "b", "a"]
    assert listed["sessions"][1] == {"namespace": "n", "user_id": "", "session_id": "b"}
    page = await data(http, "sessions", limit=1, offset=1)
    assert [[each["session_id"] for each in page["sessions"]], page["total"]] == [["b"], 3]
    of_scope = await data(http, "sessions", namespace="n")
    assert [each["session_id"] for each in of_scope["sessions"]] == ["b"]


async def test_find_by_id(http: httpx.AsyncClient) -> None:
    """With an id, all sessions that have exactly it are found, of the scope if one is given."""
    for namespace in ("m", "n"):
        await http.post(
            MESSAGES, params={"namespace": namespace}, json={"messages": [message("x")]}
        )
    found = await data(http, "sessions", session_id="s")
    assert sorted(each["namespace"] for each in found["sessions"]) == ["m", "n"]
    assert found["total"] == 2
    assert (await data(http, "sessions", session_id="s", namespace="n"))["total"] == 1
    assert (await data(http, "sessions", session_id="S"))["total"] == 0


async def test_session_in_pages(http: httpx.AsyncClient) -> None:
    """A session is told with a page of its transcript from either side, letter for letter."""
    sent = [f'{{"n":{10**18 + n},"x":1.5}}' for n in range(120)]
    body = f'{{"messages":[{",".join(sent)}]}}'
    change = (await http.post(MESSAGES, content=body)).json()
    await http.patch(SESSION, json={"data": {"a": 1}, "ttl_seconds": 60})
    newest = await data(http, "session", session_id="s")
    assert newest["messages"] == sent[70:]
    assert [newest[each] for each in ("start", "end", "first", "next")] == [70, 120, 0, 120]
    assert sum(each["token_count"] for each in newest["beside"]) < newest["token_count"]
    assert newest["token_count"] == change["token_count"]
    assert (newest["fields"], newest["ttl_seconds"]) == ('{"data":{"a":1}}', 60)
    assert newest["version"] != change["version"]
    assert datetime.fromisoformat(newest["expires_at"]) > datetime.now(UTC)
    older = await data(http, "session", session_id="s", before=70)
    assert (older["messages"], older["start"]) == (sent[20:70], 20)
    assert (await data(http, "session", session_id="s", after=118))["messages"] == sent[119:]
    assert (await data(http, "session", session_id="s", after=119))["messages"] == []


async def test_session_is_the_newest(http: httpx.AsyncClient, valkey_url: str) -> None:
    """What another process has just written is told, however fresh our near cache is."""
    async with open_cache(valkey_url) as other:
        for n in range(20):
            await other.session("s").append(message(f"{n}"))
            assert (await data(http, "session", session_id="s"))["next"] == n + 1


@pytest.mark.parametrize("name", ["a/b", "..", "ü %2F#?&=", "<b>"])
async def test_any_name(http: httpx.AsyncClient, valkey_url: str, name: str) -> None:
    """A session whose id no path could carry is listed and told like any other."""
    async with open_cache(valkey_url) as other:
        await other.session(name, namespace=name, user_id=name).append(message("x"))
    [listed] = (await data(http, "sessions"))["sessions"]
    assert set(listed.values()) == {name}
    assert (await data(http, "session", **listed))["next"] == 1


async def test_the_first_of_all_times(http: httpx.AsyncClient, valkey_url: str) -> None:
    """A time of the year 1 that is before it in UTC is shown as the nearest that has a text."""
    first = ContractMessage("user", "a", "id", "0001-01-01T00:00:00+14:00")
    async with open_cache(valkey_url) as cache:
        await cache.session("s").put([first], {})
    found = await data(http, "session", session_id="s")
    assert found["beside"][0]["created_at"] == "0001-01-01T00:00:00Z"


async def test_errors_are_the_api_s(http: httpx.AsyncClient) -> None:
    """What is not there, or cannot be a name, is answered with the one error document."""
    for path, status, code in [
        ("session?session_id=s", 404, "session_not_found"),
        ("session", 422, "invalid_input"),
        ("session?session_id=", 422, "invalid_name"),
        ("session?session_id=s&before=1&after=1", 422, "invalid_input"),
        ("sessions?namespace=%01", 422, "invalid_name"),
        ("events?session_id=s&after=x", 422, "invalid_input"),
    ]:
        answer = await http.get(f"{PAGE}/data/{path}")
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


async def test_end_that_no_write_moves(http: httpx.AsyncClient) -> None:
    """When a session ends is told also where its writes do not prolong it."""
    ends = []
    for body in ({}, {"ttl_seconds": 60}, {}):
        await http.put(SESSION, json={"messages": [message("a")], **body})
        told = await data(http, "session", session_id="s")
        ends.append((told["ttl_seconds"], told["expires_at"] is not None))
    assert ends == [(None, False), (60, True), (None, True)]


async def test_worker_state(http: httpx.AsyncClient) -> None:
    """A worker tells its near cache's counters, and whether a session is in it at this moment."""
    assert (await data(http, "worker"))["session_is_hot"] is None
    await http.post(MESSAGES, json={"messages": [message("a")]})
    before = await data(http, "worker", session_id="s")
    assert (before["session_is_hot"], before["statistics"]["sessions_held"]) == (False, 0)
    async with asyncio.timeout(WAIT_SECONDS):
        while not (after := await data(http, "worker", session_id="s"))["session_is_hot"]:
            await http.get(SESSION, params={"recent_messages_limit": 1})
    assert after["statistics"]["sessions_held"] == 1
    assert after["statistics"]["bytes_held"] > 0
    assert (await data(http, "worker", session_id="s", namespace="n"))["session_is_hot"] is False
