import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from docs.blocks import program
from support.project import ROOT
from support.serving import ServerProcess
from support.valkey import ValkeyServer

EXAMPLES = ROOT / "examples"
NAMES = [f"chat {number} é" for number in range(105)]


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that has started."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            yield client


async def test_fastapi_app_answers_a_turn_once(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn sent twice under one key is kept once, and gets the answer it got."""
    monkeypatch.setenv("REDIS_URL", valkey_url)
    key = {"Idempotency-Key": "turn-1"}
    async with served(program(EXAMPLES / "fastapi_app.py").app) as client:
        first = await client.post("/chats/1", params={"text": "hi"}, headers=key)
        await client.post("/chats/1", params={"text": "and"})
        again = await client.post("/chats/1", params={"text": "hi"}, headers=key)
        kept = (await client.get("/chats/1")).json()
    assert first.status_code == httpx.codes.OK
    assert again.json() == first.json()
    assert [message["role"] for message in kept] == ["user", "assistant"] * 2


async def test_fastapi_app_says_that_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Redis has gone a turn is a 503 that says what became of it."""
    with ValkeyServer() as store:
        monkeypatch.setenv("REDIS_URL", store.url)
        async with served(program(EXAMPLES / "fastapi_app.py").app) as client:
            store.kill()
            answer = await client.post("/chats/1", params={"text": "hi"})
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.json()["applied"] == "no"
    assert answer.headers["Retry-After"] == "1"


@pytest.fixture
def servers(valkey_url: str, tmp_path: Path) -> Iterator[list[ServerProcess]]:
    """Two servers that know nothing of each other's sessions."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                ServerProcess("--redis-url", valkey_url, "--prefix", prefix, cwd=tmp_path)
            )
            for prefix in ("old", "new")
        ]


def test_migration_copies_and_leaves_alone(servers: list[ServerProcess]) -> None:
    """More than a page of sessions arrive message by message; those that were there are kept."""
    old, new = servers
    with httpx.Client(base_url=old.url) as client:
        for name in NAMES:
            _put(client, name, f"of {name}")
    with httpx.Client(base_url=new.url) as client:
        _put(client, NAMES[0], "newer")
        assert _migrate(old, new) == "104 sessions, 104 messages; 1 were there already\n"
        assert _content(client, NAMES[0]) == ["newer"]
        assert _content(client, NAMES[1]) == [f"of {NAMES[1]}"]
        assert _migrate(old, new) == "0 sessions, 0 messages; 105 were there already\n"


def _put(client: httpx.Client, name: str, content: str) -> None:
    session = {"namespace": "demo", "messages": [{"role": "user", "content": content}]}
    client.put(f"/v1/working-memory/{name}", json=session).raise_for_status()


def _content(client: httpx.Client, name: str) -> list[str]:
    answer = client.get(f"/v1/working-memory/{name}", params={"namespace": "demo"})
    return [message["content"] for message in answer.raise_for_status().json()["messages"]]


def _migrate(old: ServerProcess, new: ServerProcess) -> str:
    return subprocess.check_output(
        [sys.executable, EXAMPLES / "migrate.py", old.url, new.url, "--namespace", "demo"],
        text=True,
        timeout=60,
    )
