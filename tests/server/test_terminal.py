"""What the commands print, where it is read: terminals wide and narrow, pipes, readers that go."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache import open_cache
from memory_cache_server.message_text import clean, clean_json, one_line, said
from support.commands import command
from support.serving import COMMAND, environment
from support.terminal import STYLE, on_terminal
from support.valkey import ValkeyServer

ATTACK = "\x1b]0;pwned\x07\x1b[2J\x9b31m\x7f\x08\u202ereversed\u2028\x85\U000e0041"
READABLE = (
    "family 👨\u200d👩\u200d👧, 日本\u3000語, Bonjour\u00a0!, \u0645\u06cc\u200c\u062e, \U0001fae8"
)
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": READABLE},
    {"role": f"user\n     9  assistant{ATTACK}", "content": ATTACK, "name": ATTACK},
    {"role": "tool", "content": [{"type": ATTACK, ATTACK: 1}], "tool_call_id": ATTACK},
    {"role": "a", "tool_calls": [{"function": {"name": ATTACK, "arguments": ATTACK}}]},
    {ATTACK: ATTACK},
]
LOOKS = [
    ("show", "s"),
    ("show", "s", "--json"),
    ("tail", "s"),
    ("tail", "s", "--json"),
    ("export",),
    ("export", "s"),
    ("sessions",),
]


@pytest.fixture
def filled(valkey_url: str) -> str:
    """The address of a store with a hostile session, and ten more."""
    asyncio.run(_fill(valkey_url))
    return valkey_url


async def _fill(url: str) -> None:
    async with open_cache(url) as cache:
        for at in range(10):
            scope = {"namespace": "acme corporation", "user_id": f"someone-{at}@example.com"}
            await cache.session(f"conversation-{at}", **scope).append({"role": "user"})
        session = cache.session("s")
        await session.append(MESSAGES)
        await session.set_fields({ATTACK: ATTACK, "context": f"two\nlines {READABLE}"})


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_nothing_moves_the_cursor(filled: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    """On a terminal no character of a message or field is anything but text, and text stays."""
    code, out = on_terminal(*words, "--redis-url", filled, cwd=tmp_path, columns=120)
    assert code == 0
    text = STYLE.sub("", out).replace("\r\n", "")
    assert clean(text) == text
    if words != ("sessions",):
        assert READABLE in text
        assert "pwned" in text


def test_json_on_a_terminal_is_the_same_json(filled: str, tmp_path: Path) -> None:
    """What is escaped for a terminal means what is stored."""
    words = ("show", "s", "--json", "--redis-url", filled)
    _, out = on_terminal(*words, cwd=tmp_path, columns=5000)
    assert json.loads(out)["transcript"] == MESSAGES
    assert json.loads(command(*words).out)["transcript"] == MESSAGES
    _, out = on_terminal("tail", "s", "--json", "--redis-url", filled, cwd=tmp_path, columns=5000)
    assert [json.loads(line) for line in out.splitlines()] == MESSAGES


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 140])
def test_sessions_on_a_narrow_terminal(filled: str, tmp_path: Path, columns: int) -> None:
    """However narrow the terminal, each session is told by its id, and no line is broken."""
    words = ("sessions", "--redis-url", filled)
    _, out = on_terminal(*words, cwd=tmp_path, columns=columns)
    lines = [line.rstrip() for line in STYLE.sub("", out).splitlines()]
    assert all(len(line) <= columns for line in lines)
    ids = [line.split()[0] for line in lines if line.startswith("conversation-")]
    assert ids == [f"conversation-{at}" for at in range(9, -1, -1)]
    for name in ("acme", "someone-7@"):
        assert name in "".join(lines)


@pytest.mark.parametrize("columns", [40, 120])
def test_folded_lines_stay_indented(filled: str, tmp_path: Path, columns: int) -> None:
    """A long message is folded under its own beginning."""
    asyncio.run(_append(filled, {"role": "user", "content": "word " * 200}))
    words = ("show", "s", "--last", "1", "--redis-url", filled)
    _, out = on_terminal(*words, cwd=tmp_path, columns=columns)
    lines = STYLE.sub("", out).splitlines()
    folded = [line.rstrip() for line in lines if "word word" in line]
    assert len(folded) > 2
    assert all(line.startswith(" " * 8 + "word") for line in folded)


async def _append(url: str, message: dict[str, Any]) -> None:
    async with open_cache(url) as cache:
        await cache.session("s").append(message)


def test_line_of_a_pipe_is_a_line(filled: str) -> None:
    """Into a pipe each line of a message is one line, however long, and nothing is padded."""
    asyncio.run(_append(filled, {"role": "user", "content": "a" * 5000 + "\n" + "b" * 5000}))
    lines = command("show", "s", "--last", "1", "--redis-url", filled).out.split("\n")
    assert {" " * 8 + "a" * 5000, " " * 8 + "b" * 5000} <= set(lines)
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    "words",
    [*LOOKS, ("config",), ("config", "--json"), ("stats",), ("import", "/dev/null"), ("--help",)],
    ids=" ".join,
)
def test_reader_that_goes(filled: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    """A reader that has seen enough is no error to speak of, whatever it reads."""
    store = () if words[0] in {"--help", "config"} else ("--redis-url", filled)
    with subprocess.Popen(
        [*COMMAND, *words, *store],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert err == "" or (words[0] == "import" and err.startswith("the end: not carried over"))
    assert process.returncode in {0, 1}


def test_output_that_is_full(filled: str, tmp_path: Path) -> None:
    """What cannot be written is an error, in one line."""
    for words in (("config",), ("sessions", "--redis-url", filled)):
        with Path("/dev/full").open("w") as full:
            ran = subprocess.run(
                [*COMMAND, *words],
                cwd=tmp_path,
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr
        assert "No space left" in ran.stderr


def test_output_of_another_encoding(filled: str, tmp_path: Path) -> None:
    """What the output's encoding has not is told by its number."""
    ran = subprocess.run(
        [*COMMAND, "show", "s", "--redis-url", filled],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING="latin-1"),
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"\\u65e5\\u672c" in ran.stdout


def test_import_shows_how_far_it_is(valkey_url: str, tmp_path: Path) -> None:
    """On a terminal a bar says how far an import is; it is gone when the last line is there."""
    with ValkeyServer() as old, old.admin as client:
        for at in range(50):
            client.rpush(f"agents:session:s{at}:messages", '{"role":"user","content":"hi"}')
        words = ("import", old.url, "--layout", "openai-agents", "--redis-url", valkey_url)
        code, out = on_terminal(*words, cwd=tmp_path)
    assert code == 0
    assert "/50" in STYLE.sub("", out)
    assert "\x1b[2K" in out
    assert out.endswith("50 sessions, 50 messages, all carried over\r\n")


TEXTS = st.text(st.characters() | st.sampled_from("\x1b\x9b\n\t\u202e\u200d\x7f\u00ad"))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "parts", "type", "data", "text", "tool_calls"])
            | st.sampled_from(["function", "name", "arguments", "function_call", "output"])
            | st.sampled_from(["blocks", "part_kind", "functionResponse", "tool_call_id"])
            | TEXTS,
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["role", "content", "type", "data", "parts"]) | TEXTS, JSON))
def test_any_message_can_be_said(message: dict[str, Any]) -> None:
    """Whatever a message is, it is said, and safe to print."""
    what = said(message)
    assert what.parts
    for text in (what.role, what.about, *(text for _, text in what.parts)):
        assert clean(text) == text
    assert "\n" not in what.role + what.about


@given(TEXTS)
def test_json_stays_the_same(text: str) -> None:
    """JSON that is cleaned for a terminal means the same; a name that is cleaned is a line."""
    written = json.dumps(text, ensure_ascii=False)
    assert json.loads(clean_json(written)) == text
    assert clean(clean_json(written)) == clean_json(written)
    assert not set(one_line(text)) & set("\n\t\x1b\x9b")
