"""`memory-cache import` from the lists of frameworks, as these write them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
import redis

from memory_cache import SessionCache, open_cache, session_key
from memory_cache_server.importing.carry import Carrier, State, Ways
from memory_cache_server.importing.found import (
    UNFINISHED,
    ChangedError,
    Transcript,
    UnreadableError,
)
from memory_cache_server.importing.lists import LAYOUTS, Lists
from memory_cache_server.importing.wire import Address, SourceRedis
from support.commands import command
from support.valkey import ValkeyServer

ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "what is the weather in Zürich? \u2028 😀"},
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Zürich"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "rain"},
    {"type": "reasoning", "id": "r", "summary": []},
    {"role": "assistant", "content": [{"type": "output_text", "text": "rain", "annotations": []}]},
]
LANGCHAIN: list[dict[str, Any]] = [
    {"type": "human", "data": {"content": "hi", "additional_kwargs": {}, "type": "human"}},
    {"type": "ai", "data": {"content": "", "tool_calls": [{"name": "f", "args": {}, "id": "1"}]}},
    {"type": "tool", "data": {"content": "42", "tool_call_id": "1", "artifact": None}},
]
LLAMA: list[dict[str, Any]] = [
    {
        "role": "user",
        "additional_kwargs": {},
        "blocks": [{"block_type": "text", "text": f"message {at}"}],
    }
    for at in range(3)
]


@pytest.fixture(scope="module")
def old_server() -> Iterator[ValkeyServer]:
    """Where the frameworks wrote, which is not where we do."""
    with ValkeyServer(config={"enable-debug-command": "local"}) as server:
        yield server


@pytest.fixture
def old(old_server: ValkeyServer) -> Iterator[redis.Redis]:
    """A client of it, as the frameworks have one; it is empty."""
    with old_server.admin as client:
        client.flushall()
        yield client


def write(client: redis.Redis, layout: str, name: str, messages: list[dict[str, Any]]) -> str:
    """Add messages as a framework does; the key of the list."""
    texts = [json.dumps(message) for message in messages]
    if layout == "openai-agents":
        key = f"agents:session:{name}:messages"
        client.hset(f"agents:session:{name}", mapping={"session_id": name, "created_at": "1"})
        client.set(f"agents:session:{name}:counter", len(texts))
        client.rpush(key, *[json.dumps(each, separators=(",", ":")) for each in messages])
    elif layout == "langchain":
        key = f"message_store:{name}"
        for text in texts:
            client.lpush(key, text)
    else:
        key = name
        client.rpush(key, *texts)
    return key


def digest(client: redis.Redis) -> object:
    """A hash of all that a server holds."""
    return client.execute_command("DEBUG", "DIGEST")  # type: ignore[no-untyped-call]


async def held(url: str, namespace: str, name: str) -> list[dict[str, Any]]:
    """What our store holds of a session."""
    async with open_cache(url) as cache:
        return (await cache.session(name, namespace=namespace).transcript()).messages


CASES = [
    ("openai-agents", "", ITEMS),
    ("langchain", "", LANGCHAIN),
    ("llama-index", "llama-index", LLAMA),
]


@pytest.mark.parametrize("case", CASES)
def test_layouts(
    old_server: ValkeyServer,
    old: redis.Redis,
    valkey_url: str,
    case: tuple[str, str, list[dict[str, Any]]],
) -> None:
    """Every message is stored as the framework wrote it, in order, where its adapter here looks."""
    layout, namespace, messages = case
    write(old, layout, "a:b", messages)
    write(old, layout, "long", messages * 700)
    before = digest(old)
    words = ("import", old_server.url, "--layout", layout, "--redis-url", valkey_url, "--verify")
    ran = command(*words)
    count = 701 * len(messages)
    assert (ran.code, ran.last) == (0, f"2 sessions, {count:,} messages, all equal"), ran.err
    assert asyncio.run(held(valkey_url, namespace, "a:b")) == messages
    assert asyncio.run(held(valkey_url, namespace, "long")) == messages * 700
    again = command(*words)
    assert again.out.splitlines()[0] == "2 of them were there already, and are equal"
    assert (again.code, again.last) == (0, ran.last)
    assert digest(old) == before


def test_prefix_namespace_and_time_to_live(
    old_server: ValkeyServer, old: redis.Redis, valkey_url: str
) -> None:
    """Keys may begin as was configured; a namespace may be chosen; what is left to live is kept."""
    old.rpush("chat[1]:x", json.dumps({"type": "human", "data": {}}))
    old.pexpire("chat[1]:x", 100_000)
    old.rpush("chat1:x", json.dumps({"type": "human", "data": {}}))
    words = ("--layout", "langchain", "--key-prefix", "chat[1]:", "--namespace", "team")
    ran = command("import", old_server.url, *words, "--redis-url", valkey_url)
    assert (ran.code, ran.last) == (0, "1 session, 1 message, all carried over")

    async def check() -> None:
        async with open_cache(valkey_url) as cache:
            page = await cache.session("x", namespace="team").recent(1)
        assert page.ttl_seconds is not None
        assert 90 < page.ttl_seconds <= 100

    asyncio.run(check())


def test_messages_that_cannot_be_one(
    old_server: ValkeyServer, old: redis.Redis, valkey_url: str
) -> None:
    """Each item that is no JSON object is listed by its place, and all others are carried over."""
    key = write(old, "langchain", "s", LANGCHAIN)
    for item in (b"\xff\x00", b"{", b"[1]", b'{"a":NaN}', b'{"a":1,"a":2}'):
        old.lpush(key, item)
    write(old, "langchain", "\x07", LANGCHAIN)
    old.set("message_store:other", "a string")
    words = ("--layout", "langchain", "--redis-url", valkey_url)
    ran = command("import", old_server.url, *words)
    assert (ran.code, ran.last) == (1, "1 session, 3 messages, 2 not carried over, 1 not whole")
    for at, reason in ((3, "is not JSON"), (5, "is JSON, but no object"), (7, "gives a key twice")):
        assert any(
            f"message_store:s: message {at}" in line and reason in line
            for line in ran.err.splitlines()
        ), ran.err
    assert "message_store:other: not carried over: is a string, no list" in ran.err
    assert "message_store:\\x07: not carried over: session_id: must not hold control" in ran.err
    assert asyncio.run(held(valkey_url, "", "s")) == LANGCHAIN


@pytest.mark.parametrize("layout", ["openai-agents", "langchain"])
async def test_list_that_changes_while_it_is_read(
    old_server: ValkeyServer, old: redis.Redis, layout: str
) -> None:
    """A list that is changed between two slices is never taken for whole."""
    key = write(old, layout, "s", ITEMS * 100)
    source = Lists(SourceRedis(Address.parse(old_server.url)), LAYOUTS[layout], None)
    [read] = [each async for each in source.readings()]
    for change in (lambda: old.rpush(key, "{}"), lambda: old.lpop(key), lambda: old.delete(key)):
        found = await read()
        assert isinstance(found, Transcript)
        async with aclosing(found.slices([])) as slices:
            await anext(slices)
            change()
            with pytest.raises(ChangedError):
                async for _ in slices:
                    pass
    await source.aclose()


def transcript(*steps: object) -> Transcript:
    """A transcript that yields these slices, and raises those that are errors."""

    async def slices(_: list[str]) -> AsyncGenerator[list[dict[str, Any]]]:
        for step in steps:
            if isinstance(step, BaseException):
                raise step
            assert isinstance(step, list)
            yield step

    return Transcript("made", session_key("s"), slices, fields={"context": "c"})


async def _of(found: Transcript) -> Transcript:
    return found


async def test_long_session_is_marked_until_it_is_whole(valkey_url: str) -> None:
    """What an import that was ended left of a session is told from a session, and begun anew."""
    parts = [[{"at": at}] for at in range(3)]
    async with open_cache(valkey_url) as cache:
        carrier = Carrier(cache, Ways())
        ended = transcript(*parts[:2], KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            await carrier.carry(lambda: _of(ended))
        page = await cache.session("s").transcript()
        assert page.messages == [{"at": 0}, {"at": 1}]
        assert UNFINISHED in page.fields
        outcome = await carrier.carry(lambda: _of(transcript(*parts)))
        assert outcome is not None
        assert (outcome.state, outcome.messages) == (State.CARRIED, 3)
        page = await cache.session("s").transcript()
        assert page.messages == [{"at": 0}, {"at": 1}, {"at": 2}]
        assert page.fields == {"context": "c"}


@pytest.mark.parametrize("error", [ChangedError("moving"), UnreadableError("broken")])
async def test_nothing_is_left_of_what_cannot_be_ended(
    valkey_url: str, error: UnreadableError
) -> None:
    """A session that cannot be read to its end is listed, and no half of it stays."""
    async with open_cache(valkey_url) as cache:
        found = transcript([{"at": 0}], [{"at": 1}], error)
        outcome = await Carrier(cache, Ways()).carry(lambda: _of(found))
        assert outcome is not None
        assert outcome.state is State.REFUSED
        assert str(error) in outcome.reason
        assert not (await cache.session("s").recent(1)).exists


async def test_message_over_the_limit(valkey_url: str) -> None:
    """A message over the limit is the reason that is given, whichever slice it is in."""
    long = [{"text": "x" * 1_100_000}]
    async with open_cache(valkey_url) as cache:
        for steps in ([long], [[{}], long], [[{}], [{}], long]):
            found = transcript(*steps)
            outcome = await Carrier(cache, Ways()).carry(partial(_of, found))
            assert outcome is not None
            assert (outcome.state, "is over 1048576 bytes" in outcome.reason) == (
                State.REFUSED,
                True,
            )
            assert not (await cache.session("s").recent(1)).exists


async def test_somebody_writes_meanwhile(valkey_url: str) -> None:
    """A session that somebody else makes at the same time is never mixed with what is imported."""
    async with open_cache(valkey_url) as cache:
        carrier = Carrier(cache, Ways())

        async def slices(_: list[str]) -> AsyncGenerator[list[dict[str, Any]]]:
            yield [{"at": 0}]
            yield [{"at": 1}]
            await _take_over(cache)
            yield [{"at": 2}]

        outcome = await carrier.carry(lambda: _of(Transcript("made", session_key("s"), slices)))
        assert outcome is not None
        assert outcome.state is State.DIFFERS
        assert (await cache.session("s").transcript()).messages == [{"mine": True}]


@pytest.mark.parametrize(
    "steps",
    [
        [[{"at": 0}], [{"at": 1}]],
        [[{"at": 0}, {"at": 1}, {"at": 2}, {"at": 3}]],
        [[{"at": 0}], [{"at": 1}, {"at": 2.0}]],
        [[{"at": 0}], [{"at": 2}], [{"at": 1}]],
        [[]],
    ],
)
async def test_any_difference_is_seen(valkey_url: str, steps: list[object]) -> None:
    """A session that misses a message, has one more, another one or another order, is another."""
    async with open_cache(valkey_url) as cache:
        carrier = Carrier(cache, Ways())
        same = transcript([{"at": 0}, {"at": 1}], [{"at": 2}])
        for state in (State.CARRIED, State.EQUAL):
            outcome = await carrier.carry(partial(_of, same))
            assert outcome is not None
            assert outcome.state is state
        outcome = await carrier.carry(lambda: _of(transcript(*steps)))
        assert outcome is not None
        assert outcome.state is State.DIFFERS


async def _take_over(cache: SessionCache) -> None:
    session = cache.session("s")
    await session.delete()
    await session.append({"mine": True})
