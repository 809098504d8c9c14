"""Two workers of `memory-cache serve`: what one acknowledged the other answers."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from support.serving import ServerProcess
from support.valkey import ValkeyServer

SESSION = "/v1/working-memory/chat"
RECENT = {"recent_messages_limit": "20"}
STALENESS = 1.0
WAIT_SECONDS = 15.0


@pytest.fixture
def server(valkey_url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with two workers."""
    with ServerProcess("--redis-url", valkey_url, "--workers", "2", cwd=tmp_path) as server:
        yield server


def client_of(server: ServerProcess) -> httpx.AsyncClient:
    """A client that opens a connection for each request, so that every worker is met."""
    return httpx.AsyncClient(base_url=server.url, limits=httpx.Limits(max_keepalive_connections=0))


def texts(response: httpx.Response) -> list[str]:
    """The contents of the messages of an answer."""
    return [each["content"] for each in response.raise_for_status().json()["messages"]]


async def post(client: httpx.AsyncClient, seq: int) -> str:
    """Append the message of a seq; the version."""
    body = {"messages": [{"role": "user", "content": str(seq)}]}
    response = await client.post(f"{SESSION}/messages", json=body)
    version: str = response.raise_for_status().headers["memory-version"]
    return version


def subscriptions(store: redis.Redis) -> int:
    """How many subscriptions hear of the hottest session."""
    channels = store.pubsub_channels("*chat*")
    return max((count for _, count in store.pubsub_numsub(*channels)), default=0)


async def test_own_write(server: ServerProcess, valkey: ValkeyServer) -> None:
    """A GET with the version of an earlier write has it, on whichever worker it lands."""
    async with client_of(server) as client:
        for seq in range(200):
            version = await post(client, seq)
            response = await client.get(
                SESSION, params=RECENT, headers={"memory-min-version": version}
            )
            assert texts(response) == [str(each) for each in range(max(0, seq - 19), seq + 1)]
        with valkey.admin as store:
            assert subscriptions(store) == 2, "both workers had the session hot"


async def test_bounded(server: ServerProcess, valkey: ValkeyServer) -> None:
    """A plain GET of the last messages, begun more than T after a write, has it."""
    async with client_of(server) as client:
        await post(client, 0)
        with valkey.admin as store:
            async with asyncio.timeout(WAIT_SECONDS):
                while subscriptions(store) < 2:
                    texts(await client.get(SESSION, params=RECENT))
        done: list[float] = []
        lags: list[float] = []

        async def keep_reading() -> None:
            while True:
                begun = time.monotonic()
                newest = int(texts(await client.get(SESSION, params=RECENT))[-1])
                lags.append(begun - done[newest] if newest < len(done) else 0.0)

        reading = asyncio.create_task(keep_reading())
        for seq in range(1, 201):
            await post(client, seq)
            done.append(time.monotonic())
        whole = await client.get(SESSION)
        assert not reading.done()
        reading.cancel()
    assert texts(whole) == [str(seq) for seq in range(201)]
    assert len(lags) > 10
    assert max(lags) <= STALENESS
