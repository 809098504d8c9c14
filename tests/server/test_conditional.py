import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from support.in_process import MESSAGES, SESSION, is_error_document, message, serving

RECENT = f"{SESSION}?recent_messages_limit=5"
PATIENCE_SECONDS = 20
BOGUS = "0123456789abcdef.0123456789.1.0123456789abcdef"


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application over an empty store."""
    async with serving(valkey_url) as client:
        yield client


async def append(http: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """Append one message; the version after it is a header of the answer."""
    return await http.post(MESSAGES, json={"messages": [message("a")]}, headers=headers)


@pytest.mark.parametrize("path", [SESSION, RECENT, MESSAGES, f"{MESSAGES}?after=-1"])
async def test_etag_and_304(http: httpx.AsyncClient, path: str) -> None:
    """A client that has the answer is told so without it; after a change it gets the new one."""
    version = (await append(http)).headers["memory-version"]
    first = await http.get(path)
    etag = first.headers["etag"]
    assert version in etag
    for tags in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        same = await http.get(path, headers={"If-None-Match": tags})
        assert (same.status_code, same.content) == (304, b""), tags
        assert same.headers["etag"] == etag
        assert same.headers["memory-version"] == version
    await append(http)
    changed = await http.get(path, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.headers["etag"] == etag) == (200, False)


async def test_etag_names_the_query(http: httpx.AsyncClient) -> None:
    """Two answers of one version that differ have different ETags; one that is equal the same."""
    await append(http)
    paths = [
        SESSION,
        RECENT,
        f"{SESSION}?recent_messages_limit=6",
        f"{SESSION}?context_window_max=5",
        f"{SESSION}?context_window_max=6",
        f"{SESSION}?model_name=gpt-4",
        MESSAGES,
        f"{MESSAGES}?limit=3",
    ]
    etags = [(await http.get(path)).headers["etag"] for path in paths]
    assert len(set(etags)) == len(paths)
    ignored = await http.get(f"{RECENT}&unknown=1")
    assert ignored.headers["etag"] == etags[1]


async def test_etag_names_the_limits(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another release gives other ETags: it may answer other bytes."""
    async with serving(valkey_url) as http:
        await append(http)
        before = (await http.get(SESSION)).headers["etag"]
    monkeypatch.setattr("memory_cache_server.app.version", lambda _: "another")
    async with serving(valkey_url) as http:
        after = (await http.get(SESSION)).headers["etag"]
    assert before.partition("-")[0] == after.partition("-")[0]
    assert before != after


async def test_a_stale_etag_of_another_life_is_no_error(http: httpx.AsyncClient) -> None:
    """An ETag of a session that was deleted and made again only means that it has changed."""
    await append(http)
    etag = (await http.get(RECENT)).headers["etag"]
    await http.delete(SESSION)
    assert (await http.get(RECENT, headers={"If-None-Match": etag})).status_code == 404
    await append(http)
    assert (await http.get(RECENT, headers={"If-None-Match": etag})).status_code == 200


async def test_answers_are_private(http: httpx.AsyncClient) -> None:
    """Answers about sessions may be kept by their client alone, which asks before it uses them."""
    assert (await append(http)).headers["cache-control"] == "private, no-cache"
    for path in (SESSION, RECENT, MESSAGES, "/v1/working-memory/"):
        assert (await http.get(path)).headers["cache-control"] == "private, no-cache"


async def test_cache_status_says_hit(http: httpx.AsyncClient) -> None:
    """Cache-Status says whether the near cache answered, which it comes to do, equally."""
    await append(http)
    missed = await http.get(RECENT)
    assert missed.headers["cache-status"] == "memory-cache; fwd=miss"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (again := await http.get(RECENT)).headers["cache-status"] != "memory-cache; hit":
            assert again.content == missed.content
    assert again.content == missed.content


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (SESSION, {}),
        (f"{SESSION}?context_window_max=20", {}),
        (RECENT, {"Cache-Control": "no-cache"}),
        (MESSAGES, {"Cache-Control": "max-age=0, No-Cache"}),
        (RECENT, None),
    ],
)
async def test_newest_on_another_worker(
    valkey_url: str, http: httpx.AsyncClient, path: str, headers: dict[str, str] | None
) -> None:
    """What one worker acknowledged, another answers at once to who needs it or names it."""
    async with serving(valkey_url) as other:
        await append(http)
        for _ in range(200):
            await other.get(RECENT)
            version = (await append(http)).headers["memory-version"]
            named = {"Memory-Min-Version": version} if headers is None else headers
            assert (await other.get(path, headers=named)).headers["memory-version"] == version


@pytest.mark.parametrize("path", [SESSION, RECENT, MESSAGES])
async def test_min_version(http: httpx.AsyncClient, path: str) -> None:
    """Memory-Min-Version gets this version or a later one; one that the store lost is a 409."""
    version = (await append(http)).headers["memory-version"]
    for _ in range(2):
        response = await http.get(path, headers={"Memory-Min-Version": version})
        assert response.headers["memory-version"] == version
    await append(http)
    later = await http.get(
        path, headers={"Memory-Min-Version": version, "Cache-Control": "no-cache"}
    )
    assert later.headers["memory-version"] != version
    await http.delete(SESSION)
    for _ in range(2):
        lost = await http.get(path, headers={"Memory-Min-Version": version})
        assert (lost.status_code, lost.json()["code"]) == (409, "version_lost")
        assert is_error_document(lost, change=False)
        await append(http)


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "a.b.c.d", "é.b.1.d", f"{BOGUS}.1"])
async def test_a_min_version_that_is_none_is_422(http: httpx.AsyncClient, text: str) -> None:
    """A Memory-Min-Version that we never made is refused."""
    response = await http.get(RECENT, headers={b"memory-min-version": text.encode()})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["header", "memory-min-version"]


CHANGES = [
    ("PUT", SESSION, {"messages": [message("x", id="x")]}),
    ("POST", MESSAGES, {"messages": [message("x")]}),
    ("PATCH", SESSION, {"context": "x"}),
    ("DELETE", SESSION, None),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_if_match(http: httpx.AsyncClient, method: str, path: str, body: object) -> None:
    """A change of another version than the one expected is a 412 that says which is current."""
    old = (await append(http)).headers["memory-version"]
    current = (await append(http)).headers["memory-version"]
    etag = (await http.get(RECENT)).headers["etag"]
    for expected in (old, f'"{old}"', f'"{old}-000000000000"', BOGUS, '"never-ours"'):
        response = await http.request(method, path, json=body, headers={"If-Match": expected})
        assert (response.status_code, response.json()["code"]) == (412, "version_mismatch"), (
            expected
        )
        assert response.json()["applied"] == "no"
        assert response.headers.get("memory-version", current) == current
    assert (await http.get(RECENT)).headers["etag"] == etag
    done = await http.request(method, path, json=body, headers={"If-Match": etag})
    assert done.status_code == 200


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_if_match_any(http: httpx.AsyncClient, method: str, path: str, body: object) -> None:
    """`If-Match: *` changes a session that exists, and none that does not."""
    headers = {"If-Match": "*"}
    absent = await http.request(method, path, json=body, headers=headers)
    assert absent.status_code == 412
    await append(http)
    assert (await http.request(method, path, json=body, headers=headers)).status_code == 200


@pytest.mark.parametrize(("method", "path", "body"), CHANGES[:3])
async def test_if_none_match_any(
    http: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    """`If-None-Match: *` makes a session, and changes none that exists."""
    headers = {"If-None-Match": "*"}
    assert (await http.request(method, path, json=body, headers=headers)).status_code == 200
    again = await http.request(method, path, json=body, headers=headers)
    assert again.status_code == 412
    assert again.headers["memory-version"] == (await http.get(MESSAGES)).headers["memory-version"]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PATCH", {"If-None-Match": f'"{BOGUS}"'}),
        ("PATCH", {"If-None-Match": "*", "If-Match": BOGUS}),
        ("PATCH", {"If-Match": f'"{BOGUS}", "{BOGUS}"'}),
        ("DELETE", {"If-None-Match": "*"}),
        ("PATCH", {"Idempotency-Key": ""}),
        ("PATCH", {"Idempotency-Key": "k" * 256}),
        ("PATCH", {"Idempotency-Key": b"k\xc3\xa9"}),
    ],
)
async def test_headers_that_mean_nothing_are_422(
    http: httpx.AsyncClient, method: str, headers: dict[str, str | bytes]
) -> None:
    """A condition or a key that cannot be meant is refused, and names its header."""
    sent = [
        (name.encode(), text if isinstance(text, bytes) else text.encode())
        for name, text in headers.items()
    ]
    body = {"context": "c"} if method == "PATCH" else None
    response = await http.request(method, SESSION, json=body, headers=sent)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_header")
    assert response.json()["detail"][0]["loc"][0] == "header"


async def test_two_idempotency_keys_are_422(http: httpx.AsyncClient) -> None:
    """Two names for one change are refused."""
    keys = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = await http.patch(SESSION, json={}, headers=keys)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_header")


async def test_prefer_minimal(http: httpx.AsyncClient) -> None:
    """A PUT that prefers so is answered as a POST is, and is told so."""
    body = {"messages": [message("a")]}
    headers = {"Prefer": "respond-async, Return=minimal"}
    response = await http.put(SESSION, json=body, headers=headers)
    assert response.headers["preference-applied"] == "return=minimal"
    assert "x-deprecation-warning" in response.headers
    assert response.json().keys() == (await append(http)).json().keys()
    assert re.fullmatch(r"[^.]+(\.[^.]+){3}", response.json()["version"])


async def test_every_answer_about_a_session_has_its_version(http: httpx.AsyncClient) -> None:
    """Changes and reads say which version they are about."""
    for method, path, body in CHANGES[:3]:
        response = await http.request(method, path, json=body)
        assert (await http.get(SESSION)).headers["memory-version"] == (
            response.headers["memory-version"]
        )
    prompt = {"query": "q", "session": {"session_id": "s"}}
    prompted = await http.post("/v1/memory/prompt", json=prompt)
    assert prompted.headers["memory-version"] == response.headers["memory-version"]
    assert "memory-version" in (await http.delete(SESSION)).headers
