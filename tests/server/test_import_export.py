"""`memory-cache export`, and `memory-cache import` of what it wrote."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from memory_cache import Known, Session, SessionCache, open_cache
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
        # As a PUT of the contract leaves them, with nulls.
        await long.put([], {"data": None, "context": None}, known=await _known(long))
        await cache.session("empty").replace([], {"context": "nothing said"})


async def _known(session: Session) -> Known:
    found = await session.put_record()
    assert found is not None
    return found[0]


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
    first, last, end = map(json.loads, ran.out.splitlines())
    assert first["session"]["fields"] == {"context": "nothing said"}
    assert (last, end) == ({"end": {"messages": 0}}, {"export": {"sessions": 1}})


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
    exported.write_text("\n".join(spoil(ran.out.split("\n")[:-2])) + "\n" + good)
    with ValkeyServer() as other:
        ran = command("import", str(exported), "--redis-url", other.url)
        asyncio.run(_only_empty(other.url))
    assert ran.code == 1
    assert ran.last.startswith("1 session, 0 messages, ")
    assert reason in ran.err


async def _only_empty(url: str) -> None:
    async with open_cache(url) as cache:
        assert [key.session_id for key in (await cache.list_sessions()).sessions] == ["empty"]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ('"namespace":5', "a name that is no text"),
        ('"user_id":["u"]', "a name that is no text"),
        ('"fields":[1]', "fields or a time to live"),
        ('"ttl_seconds":"60"', "fields or a time to live"),
        ('"ttl_seconds":true', "fields or a time to live"),
        ('"ttl_seconds":0', "ttl_seconds: must be"),
        ('"expires_at":"soon"', "an end that is no time"),
        ('"expires_at":"2030-01-01T00:00:00"', "an end that is no time"),
        ('"fields":{"unfinished_import":true}', "was itself being imported"),
        ('"session_id":"again"', "gives a key twice"),
    ],
)
def test_first_line_that_is_wrong(
    tmp_path: Path, valkey_url: str, header: str, reason: str
) -> None:
    """What a session's first line says and cannot mean is the reason why it is listed."""
    path = tmp_path / "lines"
    path.write_text(
        f'{{"session":{{"session_id":"s",{header}}}}}\n{{"message":{{}}}}\n'
        '{"end":{"messages":1}}\n{"export":{"sessions":1}}\n'
    )
    ran = command("import", str(path), "--redis-url", valkey_url)
    assert (ran.code, ran.last) == (1, "0 sessions, 0 messages, 1 not carried over")
    assert reason in ran.err


def test_file_that_ends_too_early(exported: Path) -> None:
    """Wherever a file is cut off that is said, between two sessions too; what is whole is kept."""
    lines = exported.read_bytes().splitlines(keepends=True)
    ends = [at for at, line in enumerate(lines, 1) if line.startswith(b'{"end"')]
    with ValkeyServer() as other:
        words = ("import", "-", "--redis-url", other.url)
        for count in (0, *ends, ends[0] + 1, len(lines) - 1):
            ran = command(*words, answer=b"".join(lines[:count]).decode())
            whole = sum(end <= count for end in ends)
            assert (ran.code, ran.last.split(",")[0]) == (1, f"{whole} session{'s' * (whole != 1)}")
            assert "sessions may be lost" in ran.err
        # A whole session is missing; two exports, one after the other, are one source.
        without = b"".join(lines[ends[0] :]).decode()
        assert "sessions may be lost" in command(*words, answer=without).err
        ran = command(*words, answer=2 * b"".join(lines).decode())
        assert (ran.code, ran.last) == (0, "6 sessions, 3,006 messages, all carried over")


def test_deadline_there_and_back(valkey_url: str) -> None:
    """A deadline that no write moves is exported and imported as one, long sessions and short."""
    asyncio.run(_tick(valkey_url))
    with ValkeyServer() as other:
        ran = command("export", "--redis-url", valkey_url)
        words = ("import", "-", "--redis-url", other.url, "--verify")
        assert command(*words, answer=ran.out).last == "2 sessions, 701 messages, all equal"
        assert command(*words, answer=ran.out).out.startswith("2 of them were there already")
        asyncio.run(_ticks(other.url))
        late = ran.out.replace('"expires_at":"20', '"expires_at":"19')
        assert command(*words, answer=late).out.splitlines() == [
            "2 expired, or were deleted, before their turn",
            "0 sessions, 0 messages, all equal",
        ]


async def _tick(url: str) -> None:
    async with open_cache(url) as cache:
        for name, count in (("short", 1), ("long", 700)):
            session = cache.session(name)
            await session.append([{"at": at} for at in range(count)], ttl_seconds=500)
            await session.put([], {"context": name, "data": None}, known=await _known(session))


async def _ticks(url: str) -> None:
    async with open_cache(url) as cache:
        for name, count in (("short", 1), ("long", 700)):
            session = cache.session(name)
            page = await session.transcript()
            assert page.messages == [{"at": at} for at in range(count)]
            assert page.fields == {"context": name, "data": None}
            assert page.ttl_seconds is None
            before = await session.expires_in()
            await session.append({"at": "later"})
            after = await session.expires_in()
            assert before is not None
            assert after is not None
            assert 400 < after <= before <= 500


def test_file_is_whole_or_as_it_was(exported: Path, valkey_url: str) -> None:
    """An export that fails leaves the file of the same name that is there, and no other."""
    before = exported.read_bytes()
    ran = command("export", "empty", "nope", "-o", str(exported), "--redis-url", valkey_url)
    assert (ran.code, ran.err) == (1, "memory-cache: there is no session nope of this name\n")
    assert exported.read_bytes() == before
    with pytest.raises(KeyboardInterrupt):
        _half(exported)
    assert exported.read_bytes() == before
    words = ("export", "empty", "empty", "-o", str(exported), "--redis-url", valkey_url)
    assert command(*words).code == 0
    assert exported.read_bytes().count(b'{"session"') == 1
    assert list(exported.parent.iterdir()) == [exported]
    ran = command("export", "-o", str(exported / "no"), "--redis-url", valkey_url)
    assert (ran.code, ran.err.count("\n")) == (1, 1)


def _half(path: Path) -> None:
    with exporting.output(path) as write:
        write(b"half")
        raise KeyboardInterrupt


def test_damaged_session(exported: Path, valkey: ValkeyServer, valkey_url: str) -> None:
    """A session that cannot be read hides no other, and is said to be missing where it is."""
    with valkey.admin as client:
        client.hset("mc:{ns/u/" + quote(ODD, safe="") + "}", "h", "what?")
        client.hdel("mc:{ns//long}", "b20")
    ran = command("export", "--redis-url", valkey_url)
    assert ran.code == 1
    for name in (ODD, "long"):
        assert f"{name} (--namespace ns" in ran.err
    assert ran.err.count("is not exported: it cannot be read") == 2
    with ValkeyServer() as other:
        back = command("import", "-", "--redis-url", other.url, answer=ran.out)
        asyncio.run(_only_empty(other.url))
    assert (back.code, back.last) == (1, "1 session, 0 messages, 1 not carried over")
    assert "could not be read where it was exported" in back.err
    listed = command("sessions", "--redis-url", valkey_url)
    assert (listed.code, listed.out.count("damaged")) == (0, 1)
    found = json.loads(command("sessions", "--json", "--redis-url", valkey_url).out)
    assert [each.get("damaged", False) for each in found] == [False, False, True]
    assert json.loads(command("stats", "--json", "--redis-url", valkey_url).out)["store"] == {
        "sessions": 3,
        "sessions_looked_at": 3,
        "damaged": 1,
        "messages": 1500,
        "token_count": found[1]["token_count"],
        "bytes": found[1]["bytes"],
    }
    exported.unlink()


async def test_session_that_is_edited_while_it_is_exported(valkey_url: str, tmp_path: Path) -> None:
    """What was written of an older edition is passed over; the file holds the session once."""
    async with open_cache(valkey_url) as cache:
        session = cache.session("s")
        await session.append([{"at": at} for at in range(1000)])
        path = tmp_path / "lines"
        written: list[bytes] = []
        async for line in exporting.lines(cache, [session.key], exporting.Exported()):
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
