"""The short way to the endpoints: what the framework would answer, byte for byte."""

import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi import FastAPI

from memory_cache_server import routes_contract, routes_own
from memory_cache_server.app import create_app
from memory_cache_server.direct import Direct
from memory_cache_server.settings import Settings
from support.requests import Answer, Counting, ask, request

NAMES = ("chat", "Chat~2.x_y", ".", "..", "a%20b", "n%C3%A9", "x%ff", "a%2Fb", "c%00", "")
RESTS = ("", "", "", "/messages", "/messages", "/messages", "/", "/messages/", "/other")
METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "get")
QUERIES = (
    "",
    "namespace=acme",
    "user_id=u7&namespace=acme",
    "namespace=n%6f",
    "namespace=%ff",
    "user_id=a&user_id=b",
    "limit=3",
    "after=0&limit=2",
    "limit=nonsense",
    "recent_messages_limit=2",
    "recent_messages_limit=x",
    "model_name=gpt-4o",
    "&&=",
)
MESSAGE = {"role": "user", "content": "hello", "id": "m1", "created_at": "2026-01-01T00:00:00Z"}
DOCUMENTS: tuple[object, ...] = (
    {"messages": [MESSAGE]},
    {"messages": [MESSAGE], "namespace": "acme", "user_id": "u7"},
    {"messages": [{**MESSAGE, "id": f"m{at}"} for at in range(5)], "context": "before"},
    {"messages": [{"role": "user"}]},
    {"messages": "nonsense"},
    {"context": "only", "ttl_seconds": 60},
    {"messages": [], "namespace": ""},
    {"messages": [{**MESSAGE, "content": "x" * 3_000}]},
    [],
    None,
)
BODIES = (*(json.dumps(each).encode() for each in DOCUMENTS), b"", b"{")
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"if-match", b"*"),
    (b"if-match", b"a.b.1.c"),
    (b"if-none-match", b"*"),
    (b"idempotency-key", b"k"),
    (b"idempotency-key", b"\xe9"),
    (b"prefer", b"return=minimal"),
    (b"cache-control", b"no-cache"),
    (b"memory-min-version", b"nonsense"),
    (b"content-type", b"text/plain"),
    (b"content-length", b"99999"),
    (b"origin", b"http://other"),
)
VARIES = re.compile(
    rb"[0-9a-z]{6,}\.[0-9a-f]{6,}\.(\d+)\.[0-9a-zA-Z_-]+"
    rb"|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)"
    rb"|01[0-9A-HJKMNP-TV-Z]{24}"
)
"""Versions, but for their numbers, times and made ids: no two runs have the same."""


@pytest.fixture
async def apps(valkey_url: str) -> AsyncIterator[tuple[FastAPI, FastAPI]]:
    """The application twice, each with a store of its own."""
    async with AsyncExitStack() as stack:
        made = []
        for prefix in ("one", "two"):
            app = create_app(Settings(redis_url=valkey_url, prefix=prefix, max_body_bytes=2_000))
            await stack.enter_async_context(app.router.lifespan_context(app))
            made.append(app)
        yield made[0], made[1]


def varied(seed: int) -> tuple[dict[str, Any], bytes]:
    """One of many requests and its body: three in four to a session that is named plainly."""
    draw = random.Random(seed)
    plain = bool(seed % 4)
    path = f"/v1/working-memory/{draw.choice(NAMES[:2] if plain else NAMES)}"
    path += draw.choice(RESTS[:6] if plain else RESTS)
    headers = [(b"host", b"test"), *draw.sample(HEADERS, draw.choice((0, 0, 0, 1, 2)))]
    asked = request(
        path,
        draw.choice(QUERIES),
        method=draw.choice(METHODS[:5] if plain else METHODS),
        root_path=draw.choice(("", "/api")) if seed % 20 == 0 else "",
        headers=headers,
    )
    return asked, draw.choice(BODIES)


def comparable(answer: Answer) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """An answer without what differs between two stores."""
    status, headers, body = answer

    def same(text: bytes) -> bytes:
        return VARIES.sub(rb"(varies \1)", text)

    # An entity tag ends with a digest, which is of the release and settings alone.
    kept = [(name, same(value)) for name, value in headers if name != b"content-length"]
    return status, kept, same(body)


async def test_same_answers(apps: tuple[FastAPI, FastAPI]) -> None:
    """The same requests in the same order are answered alike, and leave the same sessions."""
    framework, behind = apps[0], Counting(apps[1])
    routes = [*routes_contract.router.routes, *routes_own.router.routes]
    direct = Direct(behind, routes, routes_contract.SESSION)
    statuses, short = set(), 0
    for seed in range(1_200):
        asked, body = varied(seed)
        expected = comparable(await ask(framework, asked, body))
        before = behind.calls
        got = comparable(await ask(direct, asked, body))
        assert got == expected, (asked, body)
        statuses.add((got[0], asked["method"]))
        short += behind.calls == before
    assert 400 < short < 900, "both ways were taken"
    for status, method in (
        (200, "GET"), (200, "PUT"), (200, "POST"), (200, "PATCH"), (200, "DELETE"),
        (404, "GET"), (412, "PUT"), (413, "POST"), (422, "PUT"), (422, "PATCH"), (405, "POST"),
    ):  # fmt: skip
        assert (status, method) in statuses


async def test_broken_endpoint(
    apps: tuple[FastAPI, FastAPI], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody raised on purpose is the 500 document, and its words are in no log."""
    said = "secret".upper()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(apps[0].state.services.cache, "session", broken)
    direct = Direct(apps[0], routes_own.router.routes, routes_contract.SESSION)
    asked = request("/v1/working-memory/chat/messages", "", method="POST")
    status, _, body = await ask(direct, asked, BODIES[0])
    assert (status, json.loads(body)["applied"]) == (500, "unknown")
    assert "RuntimeError" in caplog.text
    assert said not in caplog.text
