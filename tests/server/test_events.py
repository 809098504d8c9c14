"""Live tail over HTTP: every message once and in order, through ends of connections and workers."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from memory_cache import Version, open_cache
from memory_cache_server.app import create_app, create_server
from support.in_process import MESSAGES, SESSION, faults, listening, message, serving
from support.serving import ServerProcess, wait_for
from support.sse import WAIT_SECONDS, Reader
from support.valkey import ValkeyServer

EVENTS = f"{SESSION}/events"


@pytest.fixture(params=[create_app, create_server], ids=["route", "fast"])
async def url(valkey_url: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Where one worker answers, over an empty store: by the route, or before it."""
    async with listening(valkey_url, request.param) as url:
        yield url


@pytest.fixture
def server(valkey_url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server whose patience with slow readers is short."""
    words = ("--redis-url", valkey_url, "--slow-reader-seconds", "0.5")
    with ServerProcess(*words, cwd=tmp_path) as server:
        yield server


@asynccontextmanager
async def following(
    url: str, path: str = EVENTS, last_id: str | None = None
) -> AsyncIterator[Reader]:
    """A reader that follows until the block ends."""
    reader = Reader(url, path, last_id)
    task = asyncio.create_task(reader.follow())
    try:
        await reader.until(bool) if last_id is None else None
        yield reader
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def post(url: str, *said: str, path: str = MESSAGES) -> str:
    """Append what a user said; the version."""
    async with httpx.AsyncClient(base_url=url) as http:
        response = await http.post(path, json={"messages": [message(one) for one in said]})
    return str(response.raise_for_status().headers["memory-version"])


def beginning(connection: socket.socket) -> bytes:
    """What is sent until the stream stands."""
    connection.settimeout(WAIT_SECONDS)
    got = b""
    while b"event: following" not in got:
        got += connection.recv(1)
    return got


def all_that_is_left(connection: socket.socket) -> bytes:
    """What had been sent before the connection was cut off."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 20):
            got += chunk
    return got


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_headers(url: str) -> None:
    """The answer is an event stream that nothing on its way keeps or buffers."""
    async with httpx.AsyncClient(base_url=url) as http, http.stream("GET", EVENTS) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "private, no-cache"
        assert "content-encoding" not in response.headers


async def test_messages(url: str, valkey_url: str) -> None:
    """Messages come as they were stored, whoever adds them, with ids that begin with a version."""
    await post(url, "before")
    async with following(url) as reader, open_cache(valkey_url) as elsewhere:
        assert (reader.told[0].kind, reader.told[0].data["next"]) == ("following", 1)
        odd = {"role": "x", "content": "a\nb\r\u2028\x85", "n": 1.0}
        change = await elsewhere.session("s").append(odd)
        await post(url, "one", "two")
        await reader.until(lambda told: len(told) == 4)
        assert reader.told[1].data == {"seq": 1, "message": odd}
        assert reader.seqs == [1, 2, 3]
        versions = [Version.parse(event.id.split("/")[0]) for event in reader.told]
        assert versions[1] == change.version
        assert versions[2].num == versions[3].num == 3


async def test_scope(url: str) -> None:
    """A session is followed by its whole name."""
    async with following(url, f"{EVENTS}?namespace=n&user_id=u") as reader:
        await post(url, "other")
        await post(url, "this", path=f"{MESSAGES}?namespace=n&user_id=u")
        await reader.until(lambda told: len(told) == 2)
        assert reader.told[1].data["message"]["content"] == "this"


async def test_edits_and_deletes(url: str) -> None:
    """Edits and deletes are events, and what comes after them is told."""
    await post(url, "one", "two")
    async with following(url) as reader, httpx.AsyncClient(base_url=url) as http:
        edited = await http.put(SESSION, json={"messages": [message("other")]})
        await reader.until(lambda told: told[-1].kind == "edited")
        version = edited.raise_for_status().headers["memory-version"]
        assert reader.told[-1].data == {"first": 0, "next": 1, "version": version}
        await http.delete(SESSION)
        await reader.until(lambda told: told[-1].kind == "deleted")
        await post(url, "again")
        await reader.until(lambda told: told[-1].kind == "message")
        assert reader.told[-1].data["seq"] == 0


@pytest.mark.parametrize("where", ["header", "query"])
async def test_resume(url: str, where: str) -> None:
    """From any event one goes on after it, by header or query, in the middle of an append too."""
    async with following(url) as reader:
        await post(url, "0", "1", "2")
        await post(url, "3")
        await reader.until(lambda told: len(told) == 5)
    for at, event in enumerate(reader.told):
        if where == "header":
            again = following(url, f"{EVENTS}?after=wrong", event.id)
        else:
            again = following(url, f"{EVENTS}?after={event.id}", "")
        async with again as late:
            await late.until(lambda told, at=at: len(told) == 4 - at)  # type: ignore[misc]
            assert late.seqs == list(range(at, 4))


async def test_wrong_id(valkey_url: str) -> None:
    """What is no id is refused, saying where it stood."""
    async with serving(valkey_url) as http:
        in_header = await http.get(EVENTS, headers={"last-event-id": "x"})
        assert faults(in_header) == [("invalid_event_id", ["header", "last-event-id"])]
        in_query = await http.get(EVENTS, params={"after": "a/b/c"})
        assert faults(in_query) == [("invalid_event_id", ["query", "after"])]
        assert in_query.json()["code"] == "invalid_input"
        name = await http.get("/v1/working-memory/%00/events")
        assert name.status_code == 422


async def test_near_cache_off(valkey_url: str) -> None:
    """Without a near cache there is nothing to follow by, and the answer says so."""
    async with serving(valkey_url, near_cache_bytes=0) as http:
        response = await http.get(EVENTS)
        assert (response.status_code, response.json()["code"]) == (501, "near_cache_off")


async def test_openapi(valkey_url: str) -> None:
    """The description names the stream, its parameters and its events."""
    async with serving(valkey_url) as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    found = paths["/v1/working-memory/{session_id}/events"]["get"]
    assert "text/event-stream" in found["responses"]["200"]["content"]
    names = {parameter["name"] for parameter in found["parameters"]}
    assert names == {"session_id", "namespace", "user_id", "after", "Last-Event-ID"}
    for kind in ("following", "message", "edited", "deleted", "lost"):
        assert f"`{kind}`" in found["description"]


async def test_store_away(tmp_path: Path) -> None:
    """While the store is away the stream stays open; then it goes on without gap or double."""
    with ValkeyServer(listen="tcp", config={"appendonly": "yes"}) as store:
        store_words = ("--redis-url", store.url, "--store-timeout-seconds", "0.5")
        with ServerProcess(*store_words, cwd=tmp_path) as server:
            async with following(server.url) as reader:
                await post(server.url, "0")
                await reader.until(lambda told: len(told) == 2)
                await asyncio.to_thread(store.restart)

                async def appended() -> bool:
                    try:
                        await post(server.url, "1")
                    except httpx.HTTPStatusError:
                        return False
                    return True

                while not await appended():
                    pass
                await reader.until(lambda told: told[-1].data.get("seq") == 1)
                assert (reader.seqs, reader.connections) == ([0, 1], 1)


async def test_slow_reader(server: ServerProcess, valkey_url: str) -> None:
    """Who takes nothing is cut off, others are not; coming back it misses nothing."""
    with socket.create_connection(("127.0.0.1", server.port)) as stuck:
        stuck.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        begun = await asyncio.to_thread(beginning, stuck)
        async with following(server.url) as quick, open_cache(valkey_url) as cache:
            count = 300
            for at in range(count):
                await cache.session("s").append(message("x" * 50_000, n=at))
            await quick.until(lambda told: len(told) == count + 1)
            assert quick.connections == 1
            await asyncio.to_thread(
                wait_for, lambda: "too slow" in server.log(), "the slow one is cut off"
            )
        got = begun + await asyncio.to_thread(all_that_is_left, stuck)
    assert not got.endswith(b"\r\n0\r\n\r\n"), "it ended as if it were complete"
    whole = got[: got.rindex(b"\n\n")].split(b"\n\n")
    ids = [line[4:].decode() for one in whole for line in one.split(b"\n") if line[:4] == b"id: "]
    async with following(server.url, last_id=ids[-1]) as late:
        await late.until(lambda told: bool(told) and told[-1].data["seq"] == count - 1)
        assert late.seqs == list(range(int(ids[-1].rpartition("/")[2]), count))


async def test_slow_readers_are_bounded(valkey_url: str, tmp_path: Path) -> None:
    """However many take nothing, what a worker holds for them does not grow with what they miss."""
    readers, count, size = 50, 300, 50_000
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ServerProcess("--redis-url", valkey_url, cwd=tmp_path))
        [worker] = server.workers()
        for _ in range(readers):
            stuck = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            # What the kernel takes in for it is small, so that it counts as slow early.
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            await asyncio.to_thread(beginning, stuck)
        async with following(server.url) as quick, open_cache(valkey_url) as cache:
            before = resident(worker)
            for at in range(count):
                await cache.session("s").append(message("x" * size, n=at))
            await quick.until(lambda told: len(told) == count + 1)
            assert quick.connections == 1, server.log()
        grown = resident(worker) - before
        assert "too slow" not in server.log(), "they were still being sent to"
    # The near cache may hold all of it once; each reader a write and what may wait behind it.
    assert grown < 3 * count * size + readers * 4 * 65_536, f"{grown / 2**20:.0f} MiB"
    assert grown < readers * count * size / 5


async def test_finishing(server: ServerProcess) -> None:
    """A server that is told to end, ends its streams at once and in order, a stuck one too."""
    await post(server.url, "0")
    with socket.create_connection(("127.0.0.1", server.port)) as stuck:
        stuck.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        async with httpx.AsyncClient(base_url=server.url) as http, http.stream("GET", EVENTS) as r:
            chunks = r.aiter_text()
            assert "retry" in await anext(chunks)
            asked = time.monotonic()
            server.signal(signal.SIGTERM)
            rest = [chunk async for chunk in chunks]
        assert all("event: message" not in chunk for chunk in rest)
        assert await asyncio.to_thread(server.wait) == 0
        assert time.monotonic() - asked < 5, "it waited for them"
    assert "Exception" not in server.log()
    assert "ERROR" not in server.log()


async def test_worker_killed(valkey_url: str, tmp_path: Path) -> None:
    """A reader whose worker is killed goes on at another one without gap or double."""
    words = ("--redis-url", valkey_url, "--workers", "2")
    with ServerProcess(*words, cwd=tmp_path) as server:
        async with following(server.url) as reader, open_cache(valkey_url) as cache:
            for at in range(60):
                if at == 20:
                    for pid in server.workers():
                        os.kill(pid, signal.SIGKILL)
                await cache.session("s").append(message(str(at)))
            await reader.until(lambda told: told[-1].data.get("seq") == 59)
            assert reader.seqs == list(range(60))
            assert reader.connections > 1
