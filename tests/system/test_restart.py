"""The transcript outlives every process of `memory-cache serve`."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from support.serving import ServerProcess, alive, end_valkey, wait_for, wait_for_end
from support.workers import until

MESSAGES = "/v1/working-memory/chat/messages"
WRITES = 100
RECOVERY_SECONDS = 20.0


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory; no Valkey outlives the test in it."""
    folder = tmp_path / "d"
    yield folder
    end_valkey(folder)


def serve(data_dir: Path) -> ServerProcess:
    """A server with two workers on this data directory."""
    return ServerProcess("--data-dir", str(data_dir), "--workers", "2", cwd=data_dir.parent)


def client_of(url: str) -> httpx.AsyncClient:
    """A client that opens a connection for each request, so that every worker is met."""
    return httpx.AsyncClient(
        base_url=url, timeout=20, limits=httpx.Limits(max_keepalive_connections=0)
    )


async def write(url: str, first: int, count: int, acknowledged: list[int]) -> None:
    """Append the messages of these numbers, one after the other; note those acknowledged."""
    async with client_of(url) as client:
        for number in range(first, first + count):
            body = {"messages": [{"role": "user", "content": str(number)}]}
            try:
                response = await client.post(MESSAGES, json=body)
            except httpx.TransportError:
                continue
            assert response.status_code in {200, 503}, response.text
            if response.is_success:
                acknowledged.append(number)


async def amid(acknowledged: list[int]) -> None:
    """Wait until some more writes have been acknowledged."""
    enough = len(acknowledged) + 10
    await until(lambda: len(acknowledged) >= enough)


async def stored(url: str) -> list[int]:
    """The numbers that the server has, as soon as it answers."""
    async with client_of(url) as client, asyncio.timeout(RECOVERY_SECONDS):
        while True:
            try:
                response = await client.get(MESSAGES, params={"limit": "1000", "after": "-1"})
                if response.is_success:
                    return [int(each["content"]) for each in response.json()["messages"]]
                assert response.status_code == 503, response.text
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.02)


def assert_kept(numbers: list[int], acknowledged: list[int]) -> None:
    """Assert that everything acknowledged is there, and everything there once and in order."""
    assert numbers == sorted(set(numbers))
    assert set(acknowledged) <= set(numbers)


@pytest.mark.slow
async def test_stop_and_start(data_dir: Path) -> None:
    """Stopped and started again, it has the transcript."""
    acknowledged: list[int] = []
    with serve(data_dir) as server:
        await write(server.url, 0, WRITES, acknowledged)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    assert len(acknowledged) == WRITES
    with serve(data_dir) as server:
        assert await stored(server.url) == acknowledged
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("victim", [ServerProcess.workers, ServerProcess.valkeys])
async def test_killed_amid_writes(
    data_dir: Path, victim: Callable[[ServerProcess], list[int]]
) -> None:
    """A worker, or Valkey, killed amid writes costs nothing acknowledged, and is replaced."""
    acknowledged: list[int] = []
    with serve(data_dir) as server:
        before = victim(server)
        writing = asyncio.create_task(write(server.url, 0, 2 * WRITES, acknowledged))
        await amid(acknowledged)
        os.kill(before[0], signal.SIGKILL)
        await writing
        assert_kept(await stored(server.url), acknowledged)
        wait_for(lambda: len(victim(server)) > len(before), "a new process")
        # The first connections may still meet what is not yet ready.
        again = asyncio.create_task(write(server.url, 2 * WRITES, WRITES, acknowledged))
        await amid(acknowledged)
        await again
        assert_kept(await stored(server.url), acknowledged)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.slow
async def test_parent_killed(data_dir: Path) -> None:
    """The parent killed amid writes: its workers end, and the next server has everything."""
    acknowledged: list[int] = []
    with serve(data_dir) as server:
        writing = asyncio.create_task(write(server.url, 0, 2 * WRITES, acknowledged))
        await amid(acknowledged)
        os.kill(server.process.pid, signal.SIGKILL)
        await writing
        for pid in server.workers():
            wait_for_end(pid)
    with serve(data_dir) as server:
        assert_kept(await stored(server.url), acknowledged)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not any(alive(pid) for pid in server.workers() + server.valkeys())


@pytest.mark.slow
async def test_everything_killed(data_dir: Path) -> None:
    """Parent, workers and Valkey killed at once: nothing acknowledged is lost."""
    acknowledged: list[int] = []
    with serve(data_dir) as server:
        await write(server.url, 0, WRITES, acknowledged)
        for pid in (server.process.pid, *server.workers(), *server.valkeys()):
            os.kill(pid, signal.SIGKILL)
        for pid in (*server.workers(), *server.valkeys()):
            wait_for_end(pid)
    assert len(acknowledged) == WRITES
    with serve(data_dir) as server:
        assert await stored(server.url) == acknowledged
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
