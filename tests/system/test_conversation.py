"""A long conversation through the contract's own client, unchanged."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from agent_memory_client import MemoryAPIClient, MemoryClientConfig
from agent_memory_client.models import MemoryMessage

from support.serving import ServerProcess, end_valkey

TOTAL, BY, SINGLY = 10_000, 100, 20


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory; no Valkey outlives the test in it."""
    folder = tmp_path / "d"
    yield folder
    end_valkey(folder)


@pytest.fixture
def server(data_dir: Path) -> Iterator[ServerProcess]:
    """A server with two workers."""
    words = ("--data-dir", str(data_dir), "--workers", "2")
    with ServerProcess(*words, cwd=data_dir.parent) as server:
        yield server


async def append(url: str, messages: list[MemoryMessage]) -> None:
    """Append over a new connection, as one turn of an agent does."""
    async with MemoryAPIClient(MemoryClientConfig(base_url=url)) as client:
        await client.append_messages_to_working_memory("long", list(messages), namespace="acme")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:get_working_memory is deprecated:DeprecationWarning")
async def test_ten_thousand_messages(server: ServerProcess, data_dir: Path) -> None:
    """Grown to 10,000 messages by GET and PUT, over both workers, it is equal, each message."""
    sent = [
        MemoryMessage(role=("user", "assistant")[seq % 2], content=f"message {seq} with some text")
        for seq in range(TOTAL)
    ]
    for at in range(0, TOTAL - BY, BY):
        await append(server.url, sent[at : at + BY])
    await append(server.url, sent[TOTAL - BY : TOTAL - SINGLY])
    for at in range(TOTAL - SINGLY, TOTAL):
        await append(server.url, sent[at : at + 1])
    for _ in range(8):
        async with MemoryAPIClient(MemoryClientConfig(base_url=server.url)) as client:
            _, memory = await client.get_or_create_working_memory("long", namespace="acme")
        assert [essence(each) for each in memory.messages] == [essence(each) for each in sent]
    # Commands, changes, what is heard: both workers have answered for whole transcripts.
    with redis.Redis(unix_socket_path=str(data_dir / "valkey.sock")) as store:
        assert len([each for each in store.client_list() if each["name"] == "memory-cache"]) == 6
    for limit in (1, 20, 64, 100, 1000):
        recent = await tail(server.url, limit)
        assert [essence(each) for each in recent] == [essence(each) for each in sent[-limit:]]


def essence(message: MemoryMessage) -> tuple[object, ...]:
    """What must come back as it was sent."""
    return message.role, message.content, message.id, message.created_at


async def tail(url: str, limit: int) -> list[MemoryMessage]:
    """The newest messages, asked for over a new connection."""
    async with httpx.AsyncClient(base_url=url) as client:
        response = await client.get(
            "/v1/working-memory/long",
            params={"namespace": "acme", "recent_messages_limit": str(limit)},
        )
    return [MemoryMessage(**each) for each in response.raise_for_status().json()["messages"]]
