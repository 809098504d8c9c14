"""An import that is killed in the middle, and run again."""

import json
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis

from memory_cache import NEWEST, open_cache
from memory_cache_server.importing.run import AT_ONCE
from support.serving import COMMAND, environment, wait_for
from support.valkey import ValkeyServer

SESSIONS = 10_000
LONG = 20_000
TIME = "2026-01-02T03:04:05Z"


@pytest.fixture(scope="module")
def source() -> Iterator[ValkeyServer]:
    """Ten thousand documents in plain strings, and one list that takes a while."""
    with ValkeyServer() as server, server.admin as client:
        pipeline = client.pipeline(transaction=False)
        for at in range(SESSIONS):
            messages = [
                {
                    "role": "user",
                    "content": f"{part} of {at}",
                    "id": f"{at}-{part}",
                    "created_at": TIME,
                }
                for part in range(3)
            ]
            document = {
                "session_id": f"s{at}",
                "namespace": "n",
                "messages": messages,
                "tokens": at,
            }
            pipeline.set(f"working_memory:n:s{at}", json.dumps(document))
        pipeline.execute()
        texts = [json.dumps({"role": "user", "content": f"item {at}"}) for at in range(LONG)]
        client.rpush("agents:session:long:messages", *texts)
        yield server


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Begin an import in a process of its own."""
    return subprocess.Popen(
        [*COMMAND, "import", *words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(client: redis.Redis) -> int:
    """How many sessions are there, by their keys: to list them would touch the index."""
    return len(client.keys("*{n/*}"))


def _enough(client: redis.Redis, sessions: int) -> bool:
    return written(client) >= sessions


def kill(process: subprocess.Popen[str]) -> None:
    """End it as nothing can be caught."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
async def test_killed_and_run_again(
    source: ValkeyServer, valkey: ValkeyServer, valkey_url: str, tmp_path: Path
) -> None:
    """Killed twice among ten thousand sessions, it goes on: each is there once, and equal."""
    words = (source.url, "--redis-url", valkey_url, "--verify")
    with valkey.admin as client:
        for sessions in (SESSIONS // 5, SESSIONS // 2):
            process = start(tmp_path, *words)
            wait_for(partial(_enough, client, sessions), f"{sessions} sessions")
            kill(process)
            there = written(client)
            assert there < SESSIONS
    process = start(tmp_path, *words)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    first, last = out.splitlines()
    assert last == "10,000 sessions, 30,000 messages, all equal"
    # But for those that were being written when it was killed.
    assert abs(int(first.split()[0].replace(",", "")) - there) <= AT_ONCE
    async with open_cache(valkey_url) as cache:
        assert (await cache.list_sessions(namespace="n")).total == SESSIONS
        page = await cache.session("s4711", namespace="n").transcript(consistency=NEWEST)
    assert [message["content"] for message in page.messages] == [f"{at} of 4711" for at in range(3)]
    assert page.fields["tokens"] == 4711


@pytest.mark.slow
async def test_killed_within_a_long_session(
    source: ValkeyServer, valkey_url: str, tmp_path: Path
) -> None:
    """Killed within one long session, it begins that one anew: no message is missing or doubled."""
    words = (source.url, "--layout", "openai-agents", "--redis-url", valkey_url)
    process = start(tmp_path, *words)
    async with open_cache(valkey_url) as cache:
        session = cache.session("long")
        while not (page := await session.recent(0, consistency=NEWEST)).next:
            assert process.poll() is None
        kill(process)
        page = await session.recent(0, consistency=NEWEST)
        assert 0 < page.next < LONG
        process = start(tmp_path, *words)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (
            0,
            "1 session, 20,000 messages, all carried over\n",
            "",
        )
        page = await session.transcript()
    expected = [{"role": "user", "content": f"item {at}"} for at in range(LONG)]
    assert page.messages == expected
    assert page.fields == {}
