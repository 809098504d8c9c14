"""Many followers over HTTP: every message once and in order, and none is read for each of them."""

import asyncio
import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from support.serving import ServerProcess
from support.sse import Reader
from support.valkey import ValkeyServer

SESSIONS = 20
FOLLOWERS = 200
MESSAGES = 40
WRITERS = 4
CONNECT_AT_ONCE = 50
ATTEMPTS = 50


def path_of(session: int) -> str:
    """Where a session is."""
    return f"/v1/working-memory/s{session}"


async def append(http: httpx.AsyncClient, session: int, text: str) -> int:
    """Append one message, however often it takes; its seq. The key makes it one append."""
    for _ in range(ATTEMPTS):
        try:
            response = await http.post(
                f"{path_of(session)}/messages",
                json={"messages": [{"role": "user", "content": text}]},
                headers={"idempotency-key": text},
            )
        except httpx.TransportError:
            await asyncio.sleep(0.05)
            continue
        if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return int(response.raise_for_status().json()["start"])
    raise AssertionError("the server does not answer")


@contextlib.asynccontextmanager
async def followers(url: str) -> AsyncIterator[list[Reader]]:
    """Readers of all sessions, which follow until the block ends; they have begun."""
    readers = [Reader(url, f"{path_of(at % SESSIONS)}/events") for at in range(FOLLOWERS)]
    async with asyncio.TaskGroup() as group:
        tasks = []
        for at, reader in enumerate(readers):
            tasks.append(group.create_task(reader.follow()))
            if at % CONNECT_AT_ONCE == 0:
                await reader.until(bool)
        for reader in readers:
            await reader.until(bool)
        yield readers
        for task in tasks:
            task.cancel()


@pytest.mark.slow
async def test_followers(valkey_url: str, tmp_path: Path) -> None:
    """Each of 200 followers is told each message of its session once, through two `kill -9`."""
    written: defaultdict[int, dict[int, str]] = defaultdict(dict)
    with ServerProcess("--redis-url", valkey_url, "--workers", "2", cwd=tmp_path) as server:
        to_kill = server.workers()
        async with (
            followers(server.url) as readers,
            httpx.AsyncClient(base_url=server.url) as http,
        ):

            async def write(writer: int) -> None:
                for at in range(MESSAGES):
                    for session in range(writer, SESSIONS, WRITERS):
                        text = f"{session} {at}"
                        written[session][await append(http, session, text)] = text
                    if writer == 0 and at in {10, 25}:
                        os.kill(to_kill.pop(), signal.SIGKILL)

            await asyncio.gather(*map(write, range(WRITERS)))
            for reader in readers:
                await reader.until(lambda told: told[-1].data.get("seq") == MESSAGES - 1)
    for at, reader in enumerate(readers):
        texts = {one.data["seq"]: one.data["message"]["content"] for one in reader.told[1:]}
        assert [one.kind for one in reader.told] == ["following"] + ["message"] * MESSAGES
        assert reader.seqs == list(range(MESSAGES))
        assert texts == written[at % SESSIONS]
    assert sum(reader.connections for reader in readers) > FOLLOWERS


async def test_first_append(valkey: ValkeyServer, valkey_url: str, tmp_path: Path) -> None:
    """Many wait for a session: its first megabyte is read once, and all else is answered."""
    texts = [f"{at} {'x' * 16_000}" for at in range(64)]
    with ServerProcess("--redis-url", valkey_url, cwd=tmp_path) as server:
        readers = [Reader(server.url, f"{path_of(0)}/events") for _ in range(FOLLOWERS)]
        async with (
            httpx.AsyncClient(base_url=server.url) as http,
            asyncio.TaskGroup() as group,
        ):
            tasks = [group.create_task(reader.follow()) for reader in readers]
            for reader in readers:
                await reader.until(bool)
            before = sent_by(valkey)
            body = {"messages": [{"role": "user", "content": text} for text in texts]}
            (await http.post(f"{path_of(0)}/messages", json=body)).raise_for_status()
            while not all(reader.seqs[-1:] == [63] for reader in readers):
                await append(http, 1, f"other {len(readers[0].told)}")
                answer = await http.get(path_of(1), params={"recent_messages_limit": 1})
                assert answer.is_success
            assert sent_by(valkey) - before < 8 * len("".join(texts)), "each of them read it"
            for task in tasks:
                task.cancel()
    for reader in readers:
        assert [one.data["message"]["content"] for one in reader.told[1:]] == texts


def sent_by(store: ValkeyServer) -> int:
    """How many bytes a store has sent to its clients."""
    with store.admin as client:
        return int(client.info("stats")["total_net_output_bytes"])
