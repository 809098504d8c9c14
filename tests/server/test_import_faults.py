"""`memory-cache import` where things break: the source, the store, and what they say."""

import asyncio
import json
from collections.abc import Iterator

import pytest
import redis

from memory_cache import NEWEST, open_cache
from memory_cache_server.importing.carry import Carrier, Outcome, Ways
from memory_cache_server.importing.found import UNFINISHED
from memory_cache_server.importing.run import Report, run
from memory_cache_server.importing.source import opened
from memory_cache_server.settings import Settings
from support.commands import command, in_thread
from support.json_redis import JsonRedis
from support.proxy import Proxy
from support.valkey import ValkeyServer

LIST = "agents:session:long:messages"


def document(session_id: str, *contents: str, **more: object) -> str:
    """A session as an agent-memory-server keeps it."""
    messages = [{"role": "user", "content": each, "id": each} for each in contents]
    return json.dumps({"session_id": session_id, "messages": messages, **more})


@pytest.fixture(scope="module")
def old_server() -> Iterator[ValkeyServer]:
    """Where sessions come from."""
    with ValkeyServer(listen="tcp") as server:
        yield server


@pytest.fixture
def old(old_server: ValkeyServer) -> Iterator[redis.Redis]:
    """A client of it; it is empty."""
    with old_server.admin as client:
        client.flushall()
        yield client


async def test_connection_that_is_cut(old_server: ValkeyServer, old: redis.Redis) -> None:
    """A source that goes away in the middle ends the import with 2; the next run ends it well."""
    old.rpush(LIST, *[json.dumps({"at": at}) for at in range(30_000)])
    with ValkeyServer() as target:
        async with Proxy("127.0.0.1", old_server.port) as proxy:
            url = f"redis://{proxy.url.removeprefix('redis://')}"
            words = ("import", url, "--layout", "openai-agents", "--redis-url", target.url)
            running = asyncio.create_task(in_thread(*words))
            async with open_cache(target.url) as cache:
                while not (await cache.session("long").recent(0, consistency=NEWEST)).next:
                    assert not running.done()
                for link in proxy.links:
                    link.reset()
                ran = await running
                assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
                assert UNFINISHED in (await cache.session("long").recent(0)).fields
                ran = await in_thread(*words)
                assert (ran.code, ran.last) == (0, "1 session, 30,000 messages, all carried over")


def test_store_that_is_full(old_server: ValkeyServer, old: redis.Redis) -> None:
    """A store that takes no more ends the import with 2, and says how far it came."""
    for at in range(200):
        old.set(f"working_memory:s{at}", document(f"s{at}", "x" * 50_000))
    with ValkeyServer(config={"maxmemory": "6mb"}) as target, target.admin as client:
        words = ("import", old_server.url, "--redis-url", target.url, "--verify")
        ran = command(*words)
        assert (ran.code, ran.out) == (2, "")
        assert "the store is full" in ran.err
        assert "the same command goes on" in ran.err
        client.config_set("maxmemory", 0)
        assert command(*words).last == "200 sessions, 200 messages, all equal"


async def test_document_that_changes_its_type(valkey_url: str) -> None:
    """A string that its server makes a document of, while it is looked at, is carried over."""
    async with JsonRedis() as source:
        name = "working_memory:s"
        source.strings[name] = document("s", "one").encode()

        def moved(key: str) -> None:
            source.documents[key] = source.strings.pop(key)

        source.on_get = moved
        ran = await in_thread("import", source.url, "--redis-url", valkey_url)
    assert (ran.code, ran.last) == (0, "1 session, 1 message, all carried over")


async def test_source_that_is_no_redis(valkey_url: str) -> None:
    """What does not speak as Redis does is no source, and that is one line."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 5000)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for user in ("", ":hush@"):
        ran = await in_thread(
            "import", f"redis://{user}127.0.0.1:{port}", "--redis-url", valkey_url
        )
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
        assert "hush" not in ran.err
    server.close()


async def test_source_that_repeats_the_password(valkey_url: str) -> None:
    """What a server says of an AUTH that it has not holds the password, and is not shown."""
    with ValkeyServer(listen="tcp", config={"rename-command": 'AUTH ""'}) as source:
        url = f"redis://me:hush@127.0.0.1:{source.port}"
        ran = await in_thread("import", url, "--redis-url", valkey_url)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
    assert "the login failed (ERR)" in ran.err
    assert "hush" not in ran.err


async def test_options_of_a_source(old_server: ValkeyServer, valkey_url: str) -> None:
    """What users of redis-py write into a URL is read there as it is in that of the store."""
    url = f"{old_server.url}?socket_timeout=5&max_connections=10"
    ran = await in_thread("import", url, "--redis-url", valkey_url)
    assert ran.code == 0, ran.err


async def test_each_is_told_of(old_server: ValkeyServer, old: redis.Redis, valkey_url: str) -> None:
    """Whoever shows how far it is hears of every key, of those that are not asked for too."""
    for namespace in ("n", "m", "m"):
        name = f"s{old.dbsize()}"
        text = document(name, "one", namespace=namespace)
        old.set(f"working_memory:{namespace}:{name}", text)
    told: list[Outcome | None] = []
    with opened(old_server.url, Settings(), namespace="n") as source:
        async with open_cache(valkey_url) as cache:
            await run(source, Carrier(cache, Ways()), Report(), told.append)
        assert await source.count() == len(told) == 3
        await source.aclose()
    assert told.count(None) == 2


ESCAPES = [
    '{"session_id":"x","\\u001b[31m":1,"a\\nb: not carried over: c":2}',
    '{"session_id":"x","data":{"\\u001b]0;t":1,"q\\u009b31m":[{"a":1,"a":2}]}}',
    '{"session_id":"x","messages":[{"role":"user","content":"a","\\u202e":1}]}',
    '{"session_id":"x","memories":[{"id":"1","text":"t","\\u001b[2J":1}]}',
    '{"session_id":"x","long_term_memory_strategy":{"\\u001b[2J":1}}',
]


@pytest.mark.parametrize("raw", ESCAPES)
def test_reasons_move_no_cursor(
    old_server: ValkeyServer, old: redis.Redis, valkey_url: str, raw: str
) -> None:
    """What a source calls its keys and fields reaches a terminal as text, each reason on a line."""
    old.set("working_memory:x", raw)
    ran = command("import", old_server.url, "--redis-url", valkey_url)
    assert ran.code == 1
    assert all(char.isprintable() for char in ran.err.replace("\n", ""))
    assert all(line.startswith("working_memory:x: ") for line in ran.err.splitlines())
