"""The store of `memory-cache serve` stops answering, and comes back."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from support.serving import ServerProcess
from support.valkey import ValkeyServer

STALENESS = 1.0
# A fence that does not come back, then a call that does not; the rest is a slow machine's.
BOUND = STALENESS + 2.0 + 0.5
RECOVERY_SECONDS = 10.0

HOT = "/v1/working-memory/hot"
COLD = "/v1/working-memory/cold"
DOUBTFUL = "/v1/working-memory/doubtful"
RECENT = {"recent_messages_limit": "20"}
MESSAGES = [{"role": "user", "content": str(seq)} for seq in range(5)]
MORE = {"messages": [{"role": "user", "content": "more"}]}


class Request(NamedTuple):
    """One request that needs the store."""

    method: str
    path: str
    json: Mapping[str, object] | None = None

    @property
    def is_change(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET" and self.path != "/v1/memory/prompt"


REQUESTS = [
    Request("GET", "/v1/working-memory/"),
    Request("GET", HOT),
    Request("GET", COLD),
    Request("GET", f"{COLD}?recent_messages_limit=20"),
    Request("GET", f"{COLD}?recent_messages_limit=20&model_name=gpt-4o"),
    Request("GET", f"{COLD}/messages"),
    Request("GET", f"{HOT}/messages?before=3"),
    Request("PUT", HOT, MORE),
    Request("PUT", COLD, MORE),
    Request("PUT", "/v1/working-memory/new", MORE),
    Request("POST", f"{HOT}/messages", MORE),
    Request("POST", f"{COLD}/messages", MORE),
    Request("POST", "/v1/working-memory/newer/messages", MORE),
    Request("PATCH", COLD, {"context": "later"}),
    Request("DELETE", COLD),
    Request("POST", "/v1/memory/prompt", {"query": "?", "session": {"session_id": "cold"}}),
]


class Answer(NamedTuple):
    """What came back, when it was asked for and how long it took."""

    response: httpx.Response
    begun: float
    seconds: float


@pytest.fixture
def durable() -> Iterator[ValkeyServer]:
    """A store of this test's own that keeps what it acknowledged."""
    with ValkeyServer(config={"appendonly": "yes", "appendfsync": "always"}) as server:
        yield server


@pytest.fixture
def server(durable: ValkeyServer, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server on it."""
    with ServerProcess("--redis-url", durable.url, cwd=tmp_path) as server:
        yield server


async def ask(client: httpx.AsyncClient, request: Request) -> Answer:
    """Send a request."""
    begun = time.monotonic()
    response = await client.request(request.method, request.path, json=request.json)
    return Answer(response, begun, time.monotonic() - begun)


async def until_ok(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """Ask until the answer is no error; nothing but 503 comes before."""
    async with asyncio.timeout(RECOVERY_SECONDS):
        while True:
            response = await client.get(path, params=RECENT)
            if response.is_success:
                return response
            assert response.status_code == 503
            await asyncio.sleep(0.02)


def assert_unavailable(request: Request, answer: Answer) -> None:
    """Assert that an answer says what it must when there is no store."""
    response = answer.response
    assert response.status_code == 503, (request, response.text)
    assert int(response.headers["retry-after"]) >= 1
    assert answer.seconds <= BOUND, request
    document = response.json()
    assert document["code"] == "store_unavailable"
    if request.is_change:
        assert document["applied"] in {"no", "unknown"}
    else:
        assert "applied" not in document


async def hot_until_refused(client: httpx.AsyncClient, stopped: float) -> int:
    """GET a hot session until the answer is 503; how many came before, none begun after T."""
    answered = 0
    while True:
        answer = await ask(client, Request("GET", f"{HOT}?recent_messages_limit=20"))
        if answer.response.status_code == 503:
            assert_unavailable(Request("GET", HOT), answer)
            return answered
        assert [each["content"] for each in answer.response.json()["messages"]] == list("01234")
        assert answer.begun - stopped <= STALENESS
        answered += 1


async def stays_healthy(client: httpx.AsyncClient, path: str) -> None:
    """GET /v1/health again and again: it answers 200, at once."""
    while True:
        answer = await ask(client, Request("GET", path))
        assert answer.response.status_code == 200
        assert answer.seconds < 1.0
        await asyncio.sleep(0.05)


def pause(store: ValkeyServer) -> None:
    """Let the store hang."""
    os.kill(store.pid, signal.SIGSTOP)


def resume(store: ValkeyServer) -> None:
    """Let it go on."""
    os.kill(store.pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "start", "left"),
    [(pause, resume, "unknown"), (ValkeyServer.stop, ValkeyServer.start, "no")],
    ids=["silent", "gone"],
)
async def test_store_stopped(
    server: ServerProcess,
    durable: ValkeyServer,
    stop: Callable[[ValkeyServer], None],
    start: Callable[[ValkeyServer], None],
    left: str,
) -> None:
    """Without a store: 503 in time, and what became of the write; it recovers by itself."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        for path in (HOT, COLD, DOUBTFUL):
            (await client.put(path, json={"messages": MESSAGES})).raise_for_status()
        for _ in range(5):
            (await client.get(HOT, params=RECENT)).raise_for_status()
        health = asyncio.create_task(stays_healthy(client, "/v1/health"))
        stop(durable)
        stopped = time.monotonic()
        try:
            request = Request("POST", f"{DOUBTFUL}/messages", MORE)
            writing = asyncio.create_task(ask(client, request))
            answered = await hot_until_refused(client, stopped)
            answer = await writing
            assert_unavailable(request, answer)
            assert answer.response.json()["applied"] == left
            for _ in range(2):
                answers = await asyncio.gather(*(ask(client, each) for each in REQUESTS))
                for request, answer in zip(REQUESTS, answers, strict=True):
                    assert_unavailable(request, answer)
        finally:
            start(durable)
        assert answered > 0 or stop is ValkeyServer.stop
        response = await until_ok(client, HOT)
        texts = [each["content"] for each in response.json()["messages"]]
        assert texts in (list("01234"), ["more"], [*"01234", "more"], ["more", "more"])
        response = await until_ok(client, DOUBTFUL)
        texts = [each["content"] for each in response.json()["messages"]]
        assert texts in ([*"01234"], [*"01234", "more"])
        change = await client.post(f"{HOT}/messages", json=MORE)
        assert change.status_code == 200
        assert not health.done()
        health.cancel()
