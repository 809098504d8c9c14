import gc
import random
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from memory_cache_server.app import create_app
from memory_cache_server.fast_path import FastPath
from memory_cache_server.settings import Settings
from support.in_process import message
from support.requests import Counting, ask, request

SESSIONS = ("chat-1", "chat~2", "Chat_3.x", "né", "a b", "absent")
SCOPES = (
    "",
    "&namespace=acme",
    "&user_id=u7",
    "&namespace=acme&user_id=u7",
    "&user_id=",
    "&namespace=n%6f",
)
LIMITS = ("1", "20", "9999", "0", "-1", "05", "1e1", "", "10000", "2&recent_messages_limit=3")
MORE = ("", "", "", "&unknown=1", "&model_name=gpt-4o", "&context_window_max=5", "&", "&namespace")
METHODS = ("GET", "GET", "GET", "HEAD", "OPTIONS", "POST")
NAMES = ("chat~2", "Chat_3.x", "n%C3%A9", "a%20b", "absent", "chat%2D1", "x%ff", "a%2Fb")
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"accept", b"*/*"),
    (b"authorization", b"Bearer x"),
    (b"cache-control", b"no-cache"),
    (b"cache-control", b"max-age=0"),
    (b"if-none-match", b"*"),
    (b"if-none-match", b'"nonsense"'),
    (b"memory-min-version", b"nonsense"),
    (b"prefer", b"return=minimal"),
)


@pytest.fixture
async def app(valkey_url: str) -> AsyncIterator[FastAPI]:
    """The application over sessions that are hot in every scope."""
    app = create_app(Settings(redis_url=valkey_url))
    async with app.router.lifespan_context(app):
        cache = app.state.services.cache
        for name in SESSIONS[:-1]:
            for namespace in (None, "acme"):
                for user_id in (None, "u7"):
                    chat = cache.session(name, namespace=namespace, user_id=user_id)
                    await chat.append([message(f"{name} {seq}") for seq in range(30)])
                    while chat.peek(30) is None:
                        await chat.recent(30)
        yield app


def varied(seed: int) -> dict[str, Any]:
    """One of many requests; every other one is plain, but for one thing perhaps."""
    draw = random.Random(seed)
    odd = 1.0 if seed % 2 else 0.1

    def pick(plain: Any, others: Any) -> Any:  # noqa: ANN401  # of one kind
        return draw.choice(others) if draw.random() < odd else plain

    name = pick("chat-1", NAMES)
    query = f"recent_messages_limit={pick('20', LIMITS)}{draw.choice(SCOPES)}{pick('', MORE)}"
    return request(
        f"/v1/working-memory/{name}{pick('', ('', '', '/'))}",
        query,
        method=pick("GET", METHODS),
        root_path=pick("", ("", "", "/api")),
        headers=[(b"host", b"test"), *pick([], [[], [draw.choice(HEADERS)], list(HEADERS[:2])])],
    )


async def test_same_answers(app: FastAPI) -> None:
    """A thousand varied requests get the same bytes with and without the fast path."""
    behind = Counting(app)
    fast = FastPath(behind, 1_000_000)
    requests = [varied(seed) for seed in range(1_000)]
    # An ETag the client has, now and then.
    for at, each in enumerate(requests):
        status, headers, _ = await ask(app, each)
        if at % 5 == 0 and status == 200:
            etag = next(value for name, value in headers if name == b"etag")
            requests[at] = {**each, "headers": [*each["headers"], (b"if-none-match", etag)]}
    statuses = set()
    for each in requests:
        expected, got = await ask(app, each), await ask(fast, each)
        assert got == expected, each
        statuses.add(got[0])

    assert {200, 304, 307, 404, 405, 422} <= statuses
    assert 300 < behind.calls < 900, "both ways were taken"


async def test_sees_changes(app: FastAPI) -> None:
    """A ready answer is not given again once the session has changed."""
    fast = FastPath(app, 1_000_000)
    asked = request("/v1/working-memory/chat-1", "recent_messages_limit=2")
    before = await ask(fast, asked)
    await app.state.services.cache.session("chat-1").append(message("newer"))
    after = await ask(fast, asked)

    assert b"newer" not in before[2]
    assert b"newer" in after[2]


async def test_damage(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be answered at once is for the routes, whatever goes wrong."""
    behind = Counting(app)
    fast = FastPath(behind, 1_000_000)
    asked = request("/v1/working-memory/chat-1", "recent_messages_limit=2")
    expected = await ask(app, asked)

    def broken(*_: object, **__: object) -> bytes:
        raise ValueError

    monkeypatch.setattr("memory_cache_server.fast_path.session_document", broken)
    assert fast.answer(asked) is None
    assert await ask(fast, asked) == expected
    assert behind.calls == 1


@pytest.mark.parametrize("budget", [0, 5_000, 50_000])
async def test_budget(app: FastAPI, budget: int) -> None:
    """Ready answers keep to their budget, and none at all is fine."""
    fast = FastPath(app, budget)
    for limit in range(1, 30):
        asked = request("/v1/working-memory/chat-1", f"recent_messages_limit={limit}")
        assert await ask(fast, asked) == await ask(app, asked)
        assert fast.bytes_held <= budget


async def test_what_is_charged_is_what_it_takes(app: FastAPI) -> None:
    """Ready answers take no more memory than they are charged, and not much less."""
    fast = FastPath(app, 10**9)
    name, scope = "n" * 400, "s" * 400
    chat = app.state.services.cache.session(name, namespace=scope)
    await chat.append([message(f"{seq} " + "x" * 50) for seq in range(30)])
    while chat.peek(30) is None:
        await chat.recent(30)
    shares = []
    for path, query in (("chat-1", "user_id=u7"), (name, f"namespace={scope}")):
        for start in (1, 1_001):  # the first ones bring caches of the framework with them
            before = fast.bytes_held
            gc.collect()
            tracemalloc.start()
            for limit in range(start, start + 300):
                target = f"recent_messages_limit={limit}&{query}"
                asked = request(f"/v1/working-memory/{path}", target)
                while not fast.answer(asked) or not fast.answer(asked):
                    await ask(app, asked)
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            shares.append(taken / (fast.bytes_held - before))
    assert all(0.7 < share < 1 for share in shares[1::2]), shares
