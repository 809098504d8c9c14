"""The commands that look inside a store: `sessions`, `show`, `tail`, `delete`, `stats`."""

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from memory_cache import open_cache
from memory_cache_server.message_text import said
from support.commands import command
from support.serving import COMMAND, ServerProcess, end_valkey, environment, run

COLUMNS = ["session", "namespace", "user", "messages", "tokens", "bytes", "ttl", "changed"]
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}}


async def fill(url: str) -> None:
    """Some sessions."""
    async with open_cache(url) as cache:
        one = cache.session("one", namespace="ns")
        await one.append([{"role": "user", "content": f"message {at}"} for at in range(30)])
        await one.append({"role": "assistant", "content": None, "tool_calls": [CALL]})
        await one.append({"role": "tool", "content": "rain", "tool_call_id": "c1"}, ttl_seconds=60)
        await one.set_fields({"context": "about the weather"})
        for user in ("u", "v"):
            await cache.session("two", user_id=user).append({"role": "user", "content": "hello"})


@pytest.fixture
def filled(valkey_url: str) -> str:
    """The address of a store with some sessions."""
    asyncio.run(fill(valkey_url))
    return valkey_url


def test_sessions(filled: str) -> None:
    """Sessions are listed with what one asks first, as a table or as JSON, of a scope or an id."""
    ran = command("sessions", "--redis-url", filled)
    header, *rows = ran.out.splitlines()
    assert header.split() == COLUMNS
    assert [row.split()[0] for row in rows] == ["two", "two", "one"]
    assert rows[2].split()[1:3] == ["ns", "32"]
    for words, names in (
        (("--namespace", "ns"), ["one"]),
        (("--user-id", "v"), ["two"]),
        (("--id", "two"), ["two", "two"]),
        (("--limit", "1"), ["two"]),
        (("--oldest-first",), ["one", "two", "two"]),
    ):
        found = json.loads(command("sessions", "--json", *words, "--redis-url", filled).out)
        assert [each["session_id"] for each in found] == names, words
    assert command("sessions", "--limit", "1", "--redis-url", filled).last.startswith("1 of 3")


def test_show(filled: str) -> None:
    """A session is shown with its fields, and its newest messages with roles and tool calls."""
    out = command("show", "one", "--last", "3", "--redis-url", filled).out
    assert "message 28" not in out
    lines = [line.rstrip() for line in out.splitlines()]
    assert "context       about the weather" in lines[: lines.index("        message 29")]
    at = next(at for at, line in enumerate(lines) if line.startswith("    30  assistant"))
    assert lines[at + 1] == '        → weather({"a":1})'
    assert lines[at + 2].startswith("    31  tool")
    assert lines[at + 3] == "        ← rain"
    document = json.loads(command("show", "one", "--json", "--redis-url", filled).out)
    assert document["transcript"][-2]["tool_calls"] == [CALL]
    assert (document["start"], document["messages"], document["ttl_seconds"]) == (12, 32, 60)


def test_names(filled: str) -> None:
    """A session is found by its id alone, unless several have it: then they are named."""
    ran = command("show", "two", "--redis-url", filled)
    assert ran.code == 1
    assert "several sessions have the id two: --user-id u; --user-id v" in ran.err
    assert command("show", "two", "--user-id", "u", "--redis-url", filled).code == 0
    ran = command("show", "three", "--redis-url", filled)
    assert (ran.code, ran.err) == (1, "memory-cache: there is no session three of this name\n")


def test_delete(filled: str) -> None:
    """A session is deleted if it is said to be; with nobody to ask it is not."""
    ran = command("delete", "one", "--redis-url", filled)
    assert (ran.code, "give --yes" in ran.err) == (2, True)
    assert command("show", "one", "--redis-url", filled).code == 0
    ran = command("delete", "one", "--yes", "--redis-url", filled)
    assert (ran.code, ran.out) == (0, "deleted one (--namespace ns) with 32 messages\n")
    assert command("show", "one", "--redis-url", filled).code == 1


async def test_tail_follows(valkey_url: str, tmp_path: Path) -> None:
    """What anybody adds is shown when it is acknowledged, once and in order, until Ctrl-C."""
    async with open_cache(valkey_url) as cache:
        session = cache.session("s")
        await session.append([{"at": at} for at in range(5)])
        words = ("tail", "-f", "s", "-n", "2", "--json", "--redis-url", valkey_url)
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *words, cwd=tmp_path, env=environment(), stdout=-1, stderr=-1
        )
        assert process.stdout is not None
        lines: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            for at in range(5, 20):
                while len(lines) < at - 3:
                    lines.append(json.loads(await process.stdout.readline()))
                await session.append({"at": at})
            while len(lines) < 17:
                lines.append(json.loads(await process.stdout.readline()))
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
        assert lines == [{"at": at} for at in range(3, 20)]


def test_store_of_a_running_server(tmp_path: Path) -> None:
    """Without a Redis URL the store is the Valkey of the data directory, while a server runs."""
    folder = tmp_path / "data"
    words = ("--data-dir", str(folder))
    try:
        ran = run("sessions", *words, cwd=tmp_path)
        assert ran.returncode == 2
        assert ran.stderr.startswith("memory-cache: no store: start `memory-cache serve`")
        with ServerProcess(*words, cwd=tmp_path) as server:
            body = {"messages": [{"role": "user", "content": "hi"}]}
            httpx.put(server.url + "/v1/working-memory/s", json=body).raise_for_status()
            ran = run("show", "s", *words, cwd=tmp_path)
            assert (ran.returncode, "        hi" in ran.stdout) == (0, True)
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
    finally:
        end_valkey(folder)


def test_stats_of_the_store(filled: str) -> None:
    """What the store holds is summed; without a server nobody pretends to know its hits."""
    document = json.loads(command("stats", "--json", "--redis-url", filled).out)
    figures = document.pop("store")
    assert (figures["sessions"], figures["messages"]) == (3, 34)
    assert document == {}
    ran = command("stats", "--redis-url", filled)
    assert "hits" in ran.last
    assert "--url" in ran.last


def test_stats_of_workers(valkey_url: str, tmp_path: Path) -> None:
    """Every worker of a server says what it counted, and which of them did not answer is said."""
    words = ("--workers", "2", "--redis-url", valkey_url)
    with ServerProcess(*words, cwd=tmp_path) as server:
        with httpx.Client(base_url=server.url) as client:
            path = "/v1/working-memory/s"
            client.put(path, json={"messages": [{"role": "user", "content": "hi"}]})
            for _ in range(5):
                client.get(path, params={"recent_messages_limit": 1}).raise_for_status()
        asking = ("stats", "--url", server.url, "--redis-url", valkey_url)
        document = json.loads(command(*asking, "--json").out)
        lines = command(*asking).out
        assert document["workers"] == 2
        pids = {answer["pid"] for answer in document["answered"]}
        assert pids <= set(server.workers())
        assert sum(answer["reads"] for answer in document["answered"]) >= 1
        assert document["answered"][0]["bytes_budget"] > 0
    for pid in pids:
        assert f"worker {pid}" in lines
    for name in ("hit ratio", "near cache", "lease", "suspects"):
        assert name in lines


def test_stats_of_no_server(valkey_url: str) -> None:
    """Where no server of ours answers that is said, and nothing else."""
    ran = command("stats", "--url", "http://127.0.0.1:9", "--redis-url", valkey_url)
    assert (ran.code, ran.err.count("\n")) == (1, 1)


def test_output_may_be_cut_off(filled: str, tmp_path: Path) -> None:
    """A reader that has seen enough is no error to speak of."""
    with subprocess.Popen(
        [*COMMAND, "show", "one", "--json", "--redis-url", filled],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


SAID: list[tuple[dict[str, Any], str, list[tuple[str, str]]]] = [
    ({"role": "user", "content": "hi"}, "user", [("text", "hi")]),
    ({"role": "user", "content": ""}, "user", [("other", '{"role": "user", "content": ""}')]),
    (
        {"role": "assistant", "content": "so", "tool_calls": [CALL]},
        "assistant",
        [("text", "so"), ("call", 'weather({"a":1})')],
    ),
    ({"role": "tool", "content": "rain"}, "tool", [("result", "rain")]),
    (
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
        "function_call",
        [("call", "f({})")],
    ),
    (
        {"type": "function_call_output", "call_id": "c", "output": "42"},
        "function_call_output",
        [("result", "42")],
    ),
    (
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
            ],
        },
        "assistant",
        [("text", "look"), ("call", 'f({"a": 1})')],
    ),
    (
        {"role": "user", "content": [{"type": "tool_result", "content": [{"a": 1}]}]},
        "user",
        [("result", '[{"a": 1}]')],
    ),
    (
        {"type": "ai", "data": {"content": "", "tool_calls": [{"name": "f", "args": {"x": 2}}]}},
        "assistant",
        [("call", 'f({"x": 2})')],
    ),
    (
        {"role": "user", "blocks": [{"block_type": "text", "text": "yo"}]},
        "user",
        [("text", "yo")],
    ),
    (
        {"author": "bot", "content": {"parts": [{"functionCall": {"name": "f", "args": {}}}]}},
        "bot",
        [("call", "f({})")],
    ),
    (
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "hi"}]},
        "?",
        [("text", "hi"), ("other", '{"kind": "request"}')],
    ),
    (
        {"role": "user", "content": "\x1b[31mred\nline\x9b"},
        "user",
        [("text", "\\x1b[31mred\nline\\x9b")],
    ),
    ({"anything": [1]}, "?", [("other", '{"anything": [1]}')]),
]


@pytest.mark.parametrize(("message", "role", "parts"), SAID)
def test_messages_of_every_framework(
    message: dict[str, Any], role: str, parts: list[tuple[str, str]]
) -> None:
    """Who spoke, what was said, called and answered is found in every form; nothing is hidden."""
    found = said(message)
    assert (found.role, list(found.parts)) == (role, parts)
