"""`memory-cache export`, and `memory-cache import` of what it wrote."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memory_cache import SessionCache, open_cache
from memory_cache_server import exporting
from support.commands import command
from support.valkey import ValkeyServer

Spoil = Callable[[list[str]], list[str]]

ODD = "s/:{} ünï 😀"
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "line\nbreak \u2028 😀", "n": [1, 1.0, -0.5, None]},
    {"type": "function_call", "name": "f", "arguments": "{}"},
    {"message": {"session": {"end": 1}}},
]


async def fill(url: str) -> None:
    """Sessions of every kind."""
    async with open_cache(url) as cache:
        await cache.session(ODD, namespace="ns", user_id="u").replace(
            MESSAGES, {"context": "c", "data": {"x": [1.0]}}, ttl_seconds=5000
        )
        long = cache.session("long", namespace="ns")
        for start in range(0, 1500, 500):
            await long.append([{"at": at} for at in range(start, start + 500)])
        await cache.session("empty").replace([], {"context": "nothing said"})


@pytest.fixture
def exported(valkey_url: str, tmp_path: Path) -> Path:
    """What `export` writes of these sessions; the store is empty again."""
    asyncio.run(fill(valkey_url))
    path = tmp_path / "sessions.jsonl"
    ran = command("export", "-o", str(path), "--redis-url", valkey_url)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    return path


def test_there_and_back(exported: Path, valkey_url: str) -> None:
    """What was exported is imported into another store equal to the byte, and then is there."""
    with ValkeyServer() as other:
        words = ("import", str(exported), "--redis-url", other.url, "--verify")
        assert command(*words).last == "3 sessions, 1,503 messages, all equal"
        assert command(*words).out.splitlines() == [
            "3 of them were there already, and are equal",
            "3 sessions, 1,503 messages, all equal",
        ]
        asyncio.run(_same(valkey_url, other.url))


async def _same(one_url: str, other_url: str) -> None:
    async with open_cache(one_url) as one, open_cache(other_url) as other:
        listed = await one.list_sessions(newest_first=False)
        assert listed.total == 3
        assert (await other.list_sessions(newest_first=False)).total == 3
        for key in listed.sessions:
            scope = {"namespace": key.namespace, "user_id": key.user_id}
            there = await one.session(key.session_id, **scope).transcript()
            here = await other.session(key.session_id, **scope).transcript()
            assert here.json == there.json
            assert here.fields_json == there.fields_json
            assert here.ttl_seconds == there.ttl_seconds


def test_standard_input_and_namespace(exported: Path) -> None:
    """Standard input is a source as well, and only the namespace asked for is carried over."""
    with ValkeyServer() as other:
        words = ("import", "-", "--namespace", "ns", "--redis-url", other.url, "--verify")
        ran = command(*words, answer=exported.read_text())
    assert (ran.code, ran.last) == (0, "2 sessions, 1,503 messages, all equal")


def test_one_session(exported: Path, valkey_url: str) -> None:
    """One session is exported by its id, to standard output."""
    assert exported.exists()
    ran = command("export", "empty", "--redis-url", valkey_url)
    first, last = ran.out.splitlines()
    assert json.loads(first)["session"]["fields"] == {"context": "nothing said"}
    assert json.loads(last) == {"end": {"messages": 0}}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda lines: lines[:-1], "is cut off"),
        (lambda lines: lines[:1] + lines[2:], "is cut off"),
        (lambda lines: [*lines[:-1], '{"end":{"abandoned":true,"again":false}}'], "changed again"),
        (lambda lines: [lines[0], "what?", *lines[1:]], "is cut off"),
        (lambda lines: ['{"session":{}}', *lines[1:]], "session_id"),
        (lambda lines: [lines[0], '{"message":7}', *lines[2:]], "no object `message`"),
    ],
)
def test_damaged_file(exported: Path, valkey_url: str, spoil: Spoil, reason: str) -> None:
    """A session that is not whole in the file is listed, none of it is kept, others are."""
    ran = command("export", ODD, "--redis-url", valkey_url)
    good = command("export", "empty", "--redis-url", valkey_url).out
    exported.write_text("\n".join(spoil(ran.out.split("\n")[:-1])) + "\n" + good)
    with ValkeyServer() as other:
        ran = command("import", str(exported), "--redis-url", other.url)
        asyncio.run(_only_empty(other.url))
    assert ran.code == 1
    assert ran.last.startswith("1 session, 0 messages, ")
    assert reason in ran.err


async def _only_empty(url: str) -> None:
    async with open_cache(url) as cache:
        assert [key.session_id for key in (await cache.list_sessions()).sessions] == ["empty"]


async def test_session_that_is_edited_while_it_is_exported(valkey_url: str, tmp_path: Path) -> None:
    """What was written of an older edition is passed over; the file holds the session once."""
    async with open_cache(valkey_url) as cache:
        session = cache.session("s")
        await session.append([{"at": at} for at in range(1000)])
        path = tmp_path / "lines"
        written: list[bytes] = []
        async for line in exporting.lines(session):
            if len(written) == 1:
                await _edit(cache)
            written.append(line)
        path.write_bytes(b"".join(written))
        assert b'"abandoned":true,"again":true' in path.read_bytes()
        with ValkeyServer() as other:
            words = ("import", str(path), "--redis-url", other.url, "--verify")
            ran = await asyncio.to_thread(command, *words)
            assert (ran.code, ran.last) == (0, "1 session, 1,001 messages, all equal")


async def _edit(cache: SessionCache) -> None:
    session = cache.session("s")
    await session.pop()
    await session.append([{"at": "new"}, {"at": "newer"}])
