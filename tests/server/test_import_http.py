"""`memory-cache import` from an HTTP API: of a server that is in use, of ours, of none."""

import json
from contextlib import aclosing
from typing import Any

import pytest

from memory_cache import open_cache
from memory_cache_server.importing.agent_memory_http import AgentMemoryHttp
from memory_cache_server.importing.found import ChangedError, Transcript
from memory_cache_server.settings import Settings
from support.commands import command, in_thread
from support.in_process import listening
from support.old_http import OldHttp
from support.valkey import ValkeyServer

LIST = "/v1/working-memory/"
TIME = "2026-01-02T03:04:05.000006Z"
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
DEEP: Any = json.loads("[" * 62 + "]" * 62)
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "hi", "name": "ann"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"type": "function_call_output", "call_id": "c1", "output": "42"},
    {"deep": DEEP},
    {"role": "user", "content": ""},
]


class Old:
    """What an agent-memory-server answers; the list is by activity, and may move between pages."""

    def __init__(self, *ids: str) -> None:
        self.ids = list(ids)
        self.moves: list[str] = []
        self.missing: set[str] = set()

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        """The list, or a session with one message."""
        if path != LIST:
            session_id = path.removeprefix(LIST)
            if session_id in self.missing:
                return 404, b'{"detail":"not found"}'
            message = {"role": "user", "content": session_id, "id": "1", "created_at": TIME}
            return 200, json.dumps({"session_id": session_id, "messages": [message]}).encode()
        start, limit = int(query["offset"]), int(query["limit"])
        page = {"sessions": self.ids[start : start + limit], "total": len(self.ids)}
        if start == 0 and self.moves:
            # It is used, and so is now the last: what was behind it moves forward.
            moved = self.moves.pop()
            self.ids.remove(moved)
            self.ids.append(moved)
        return 200, json.dumps(page).encode()


def test_list_that_moves_while_it_is_read(valkey_url: str) -> None:
    """A session that moves in the list while that is read is neither missed nor counted twice."""
    old = Old(*(f"s{at:03}" for at in range(250)))
    old.moves = ["s007", "s050"]
    with OldHttp(old.answer) as server:
        ran = command("import", server.url, "--verify", "--redis-url", valkey_url)
        assert server.asked == {"GET"}
    assert (ran.code, ran.out, ran.err) == (0, "250 sessions, 250 messages, all equal\n", "")


def test_id_of_several_sessions(valkey_url: str) -> None:
    """An id that comes twice each time is that of two sessions, also where a GET finds neither."""
    old = Old("a", "twice", "twice", "b", *(f"s{at:03}" for at in range(100)))
    with OldHttp(old.answer) as server:
        ran = command("import", server.url, "--redis-url", valkey_url)
        assert (ran.code, ran.last) == (1, "102 sessions, 102 messages, 1 not carried over")
        # One pass misses one of the two: that a GET finds neither does not mean that it is gone.
        old.ids = ["used", "twice", *old.ids[4:102], "twice"]
        old.moves, old.missing = ["used"], {"twice"}
        ran = command("import", server.url, "--redis-url", valkey_url)
    assert ran.code == 1
    assert "twice: not carried over: 2 sessions have this id" in ran.err


@pytest.mark.parametrize(
    "body",
    [
        b'{"sessions":null,"total":1}',
        b'{"sessions":[1,null],"total":2}',
        b'{"sessions":["a"],"total":"many"}',
        b'{"sessions":{"a":1},"total":1}',
        b'{"total":0}',
        b"[]",
        b"<html>",
        b"\xff",
    ],
)
def test_what_is_no_list(valkey_url: str, body: bytes) -> None:
    """A server that answers anything but a list of ids is no source, and that is said."""
    with OldHttp(lambda _path, _query: (200, body)) as server:
        ran = command("import", server.url, "--redis-url", valkey_url)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "does not list sessions" in ran.err


@pytest.mark.parametrize(
    "url", ["http://host:abc", "http://[", "http://a b", "http://:80", "https://u:hush@host", ""]
)
def test_what_is_no_url(valkey_url: str, url: str) -> None:
    """What cannot be asked is refused in a line, without what may be a password."""
    ran = command("import", url, "--redis-url", valkey_url)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "hush" not in ran.err


@pytest.mark.parametrize("token", ["hush\nhush: 1", "hush€"])
def test_token_that_no_header_takes(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """A token that cannot be sent is refused in a line that does not repeat it."""
    monkeypatch.setenv("MEMORY_CACHE_SOURCE_TOKEN", token)
    ran = command("import", "http://127.0.0.1:9", "--redis-url", valkey_url)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "hush" not in ran.err


async def test_messages_of_our_own_server(valkey_url: str) -> None:
    """Of a server of ours every message arrives as it is stored, not as the contract shows it."""
    with ValkeyServer() as other:
        async with open_cache(other.url) as there:
            session = there.session("tools", namespace="n", user_id="u")
            await session.append(MESSAGES)
            await session.append([{"at": at} for at in range(1200)], ttl_seconds=900)
            await session.set_fields({"context": "c", "tokens": 3})
            await there.session("empty").set_fields({"data": {"a": 1}})
        async with listening(other.url) as url:
            for _ in range(2):
                ran = await in_thread("import", url, "--verify", "--redis-url", valkey_url)
                assert (ran.code, ran.last, ran.err) == (
                    0,
                    "2 sessions, 1,205 messages, all equal",
                    "",
                )
        async with open_cache(valkey_url) as here:
            page = await here.session("tools", namespace="n", user_id="u").transcript()
        assert page.messages == [*MESSAGES, *({"at": at} for at in range(1200))]
        assert (page.fields["context"], page.fields["tokens"], page.ttl_seconds) == ("c", 3, 900)


async def test_server_that_is_its_own_source(valkey_url: str) -> None:
    """Who imports a server of ours into its own store, even to overwrite, changes nothing."""
    async with open_cache(valkey_url) as cache:
        await cache.session("tools").append(MESSAGES)
        change = await cache.session("tools").set_fields({"ours": "alone"})
        async with listening(valkey_url) as url:
            words = ("import", url, "--overwrite", "--verify", "--redis-url", valkey_url)
            ran = await in_thread(*words)
        assert (ran.code, ran.last) == (0, "1 session, 5 messages, all equal")
        page = await cache.session("tools").transcript()
        assert (page.messages, page.fields) == (MESSAGES, {"ours": "alone"})
        assert page.version == change.version


async def test_session_that_grows_while_it_is_read() -> None:
    """What is appended between two pages makes the session be read again, from the beginning."""
    with ValkeyServer() as other:
        async with open_cache(other.url) as there, listening(other.url) as url:
            session = there.session("s")
            await session.append([{"at": at} for at in range(600)])
            source = AgentMemoryHttp(url, Settings(), None, None)
            [read] = [each async for each in source.readings()]
            found = await read()
            assert isinstance(found, Transcript)
            async with aclosing(found.slices([])) as slices:
                assert len(await anext(slices)) == 500
                await session.append({"at": 600})
                with pytest.raises(ChangedError):
                    await anext(slices)
            await source.aclose()
