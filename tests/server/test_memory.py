"""The memory of a worker, behind its HTTP server, against its byte budget."""

import asyncio
import http.client
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest

from memory_cache import CacheConfig, open_cache
from support.serving import ServerProcess
from support.valkey import ValkeyServer

MIB = 1024 * 1024
MOST = 1.3
"""Resident growth, against the budget."""

CONNECTIONS = 8
FULL, EMPTY = "n" * 490, "e" * 490
"""Of what is there, and of what is not."""

Asked = tuple[str, str, Mapping[str, object] | None]


def get(path: str) -> Asked:
    """A GET."""
    return "GET", f"/v1/working-memory/{path}", None


def named(number: int, query: str) -> str:
    """A session that does not exist, with three names of almost 500 bytes."""
    name = f"{EMPTY}{number:06}"
    return f"{name}?namespace={name}&user_id={name}&{query}"


def big(sessions: int) -> list[list[Asked]]:
    """Each session, until its answer is ready and has been given again."""
    return [[get(f"big-{at}?recent_messages_limit=1")] * 5 for at in range(sessions)]


def absent(start: int, count: int) -> Iterator[list[Asked]]:
    """As many names of which there is no session."""
    for at in range(start, start + count):
        yield [get(named(at, "recent_messages_limit=1"))]


def written(start: int, count: int) -> Iterator[list[Asked]]:
    """As many sessions with long names, made and read in more than one way."""
    messages = [{"role": "user", "content": f"message {at}"} for at in range(3)]
    for at in range(start, start + count):
        name = f"{FULL}{at:06}"
        path, query = f"/v1/working-memory/{name}", f"namespace={name}&user_id={name}"
        body = {"messages": messages}
        yield [
            ("PUT", path, {**body, "namespace": name, "user_id": name}),
            ("POST", f"{path}/messages?{query}", body),
            ("GET", f"{path}?{query}", None),
            *[
                ("GET", f"{path}?{query}&recent_messages_limit={limit}", None)
                for limit in (1, 1, 1, 2, 3)
            ],
        ]


def ask(port: int, rounds: Iterable[list[Asked]]) -> set[int]:
    """Ask one after the other; the statuses."""
    connection, statuses = http.client.HTTPConnection("127.0.0.1", port), set[int]()
    for method, path, body in chain.from_iterable(rounds):
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        statuses.add(answer.status)
    connection.close()
    return statuses


def play(port: int, rounds: Iterable[list[Asked]]) -> set[int]:
    """Ask on some connections at once; the statuses."""
    shares = list(rounds)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        found = pool.map(lambda at: ask(port, shares[at::CONNECTIONS]), range(CONNECTIONS))
        return set[int]().union(*found)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def stored(valkey: ValkeyServer) -> int:
    """Bytes that the store uses."""
    with valkey.admin as client:
        return int(client.info("memory")["used_memory"])


async def fill(url: str, sessions: int) -> None:
    """Make big sessions: 40 messages of 60 kB each."""
    said = [{"role": "user", "content": f"{at} " + "x" * 60_000} for at in range(40)]
    async with open_cache(url, config=CacheConfig(near_cache_bytes=0)) as cache:
        for at in range(0, sessions, 4):
            some = [cache.session(f"big-{number}") for number in range(at, min(at + 4, sessions))]
            await asyncio.gather(*(session.append(said) for session in some))


def mixed() -> Iterator[list[Asked]]:
    """Some of each, in turn."""
    for at, session in enumerate(big(50)):
        yield session
        yield from absent(at * 40, 40)
        yield from written(at * 25, 25)


CASES: dict[str, tuple[int, int, Callable[[], Iterable[list[Asked]]], set[int]]] = {
    "big sessions": (24, 60, lambda: big(60), {200}),
    "names of nothing": (6, 4, lambda: absent(0, 5_000), {404}),
    "mixed": (40, 50, mixed, {200, 404}),
}
"""The budget in MiB, how many big sessions there are, what is asked, and the statuses."""


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_growth_keeps_to_the_budget(valkey: ValkeyServer, tmp_path: Path, case: str) -> None:
    """Whatever clients ask for, a worker grows by its budget and a little, and so do its names."""
    budget, sessions, rounds, statuses = CASES[case]
    most = MOST * budget * MIB
    with valkey.admin as client:
        client.flushall()
    asyncio.run(fill(valkey.url, sessions))
    words = ("--redis-url", valkey.url, "--near-cache-bytes", str(budget * MIB))
    with ServerProcess(*words, cwd=tmp_path) as server:
        # The first requests bring what the framework loads late.
        play(server.port, [*absent(10**6, 200), *written(10**6, 20)])
        [worker] = server.workers()
        before, in_store = resident(worker), stored(valkey)
        assert play(server.port, rounds()) == statuses
        grown = resident(worker) - before
        assert grown <= most, f"{grown / MIB:.1f} MiB of {budget}"
        if statuses == {404}:
            assert stored(valkey) - in_store <= most
