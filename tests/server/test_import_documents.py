"""`memory-cache import` from the Redis of an agent-memory-server, and from its HTTP API."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from memory_cache import open_cache
from support.commands import Ran, in_thread
from support.in_process import listening, serving
from support.json_redis import JsonRedis
from support.valkey import ValkeyServer, free_port

READS = {"AUTH", "SCAN", "TYPE", "PTTL", "GET", "JSON.GET"}
TIME = "2026-01-02T03:04:05.000006Z"


def said(at: int, **more: object) -> dict[str, object]:
    """A message as that server keeps it."""
    kept = {"role": "user", "content": f"message {at}", "id": f"id-{at}", "created_at": TIME}
    return {**kept, "persisted_at": None, "discrete_memory_extracted": "f", **more}


def document(session_id: str, count: int = 2, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A session as that server keeps it."""
    memory = {"id": "m1", "text": "likes tea", "topics": ["drinks"]}
    return {
        "messages": [said(at) for at in range(count)],
        "memories": [memory],
        "context": "a summary",
        "user_id": None,
        "tokens": 7,
        "session_id": session_id,
        "namespace": None,
        "ttl_seconds": None,
        "data": {"a": [1, 1.5, None]},
        "long_term_memory_strategy": {"strategy": "summary", "config": {"x": 1}},
        "last_accessed": 1767225600,
        "created_at": 1767225600,
        "updated_at": 1767225600,
        **more,
    }


def text(value: object) -> bytes:
    """JSON as that server writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


@pytest.fixture
async def source() -> AsyncIterator[JsonRedis]:
    """The Redis of an agent-memory-server, with a password."""
    async with JsonRedis(password="hush") as server:
        yield server


async def carry(source: str, target: str, *words: str) -> Ran:
    """Import from a URL; whatever happens no password is printed."""
    ran = await in_thread("import", source, "--redis-url", target, *words)
    assert "hush" not in ran.out + ran.err
    return ran


async def answer(target: str, session_id: str, **scope: str) -> dict[str, Any]:
    """A session as our server answers it to that server's clients."""
    async with serving(target) as client:
        response = await client.get(f"/v1/working-memory/{session_id}", params=scope)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_documents_are_carried_whole(source: JsonRedis, valkey_url: str) -> None:
    """Every field of a document, every id and time of its messages, is answered here as well."""
    kept = document("s", namespace="ns", user_id="u", ttl_seconds=3600)
    source.documents["working_memory:ns:u:s"] = text(kept)
    source.documents["working_memory:bare"] = text(document("bare", count=150))
    ran = await carry(source.url, valkey_url, "--verify")
    assert (ran.code, ran.last, ran.err) == (0, "2 sessions, 152 messages, all equal", "")
    found = await answer(valkey_url, "s", namespace="ns", user_id="u")
    same = ("messages", "context", "user_id", "tokens", "session_id", "namespace", "ttl_seconds")
    for name in (*same, "data", "long_term_memory_strategy"):
        assert found[name] == kept[name], name
    assert found["last_accessed"] == "2026-01-01T00:00:00Z"
    [memory] = found["memories"]
    assert (memory["id"], memory["text"], memory["topics"]) == ("m1", "likes tea", ["drinks"])
    assert set(source.asked) <= READS


async def test_each_key_counts_once(source: JsonRedis, valkey_url: str) -> None:
    """A key that SCAN says twice is one session, and all slices of SCAN are read."""
    for at in range(450):
        source.documents[f"working_memory:s{at}"] = text(document(f"s{at}", count=1))
    ran = await carry(source.url, valkey_url)
    assert (ran.code, ran.out) == (0, "450 sessions, 450 messages, all carried over\n")


async def test_plain_strings(valkey_url: str) -> None:
    """The plain strings of older releases are carried over, and the status keys are no sessions."""
    with ValkeyServer(listen="tcp") as old, old.admin as client:
        client.set("working_memory:ns:a", text(document("a", namespace="ns")))
        client.set("working_memory:migration:complete", "true")
        client.set("working_memory:migration:remaining", "0")
        client.set("other:key", "not ours")
        ran = await carry(old.url, valkey_url, "--verify")
        assert client.dbsize() == 4
    assert (ran.code, ran.last) == (0, "1 session, 2 messages, all equal")
    assert (await answer(valkey_url, "a", namespace="ns"))["context"] == "a summary"


REFUSED = [
    (text([1]), "is JSON, but no object"),
    (b'{"session_id":"x",', "is not JSON in UTF-8"),
    (b'{"session_id":"x","context":"\xff"}', "is not JSON in UTF-8"),
    (b'{"session_id":"x","tokens":1,"tokens":2}', "gives a key twice"),
    (b'{"session_id":"x","data":{"n":123456789012345678901}}', "integer outside 64 bits"),
    (text(document("x", messages=[{"role": "user"}])), "messages.0.content: Field required"),
    (text(document("x", messages=[said(0, content=" ")])), "content cannot be empty"),
    (text(document("x", messages=[said(0, created_at="9000-01-01T00:00:00Z")])), "in the future"),
    (text(document("y")), "name two sessions"),
    (text(document("x", namespace="elsewhere")), "name two sessions"),
    (text(document("x", ttl_seconds=0)), "ttl_seconds"),
]


@pytest.mark.parametrize(("raw", "reason"), REFUSED)
async def test_what_cannot_be_carried_is_listed(
    source: JsonRedis, valkey_url: str, raw: bytes, reason: str
) -> None:
    """A document that cannot be kept as it is is listed with the reason, and the rest carried."""
    source.documents["working_memory:x"] = raw
    source.documents["working_memory:good"] = text(document("good"))
    ran = await carry(source.url, valkey_url)
    assert ran.code == 1
    assert ran.last == "1 session, 2 messages, 1 not carried over"
    assert ran.err.startswith("working_memory:x: not carried over: ")
    assert reason in ran.err


async def test_keys_that_cannot_be_sessions(valkey_url: str) -> None:
    """A key that is not UTF-8, or of another type, is listed; no escape reaches a terminal."""
    with ValkeyServer() as old, old.admin as client:
        client.set(b"working_memory:\xff", b"{}")
        client.hset("working_memory:hash", "a", "b")
        client.set("working_memory:\x1b[31m", text(document("\x1b[31m")))
        ran = await carry(old.url, valkey_url)
    assert (ran.code, ran.last) == (1, "0 sessions, 0 messages, 3 not carried over")
    assert "working_memory:\\xff: not carried over: the key is not UTF-8" in ran.err
    assert "working_memory:hash: not carried over: is a hash" in ran.err
    assert "working_memory:\\x1b[31m: not carried over: session_id: must not" in ran.err
    assert "\x1b" not in ran.err


async def test_what_is_not_kept_of_a_session_is_listed(source: JsonRedis, valkey_url: str) -> None:
    """What no session here has a place for is listed by name, and the session is carried over."""
    kept = document("s", messages=[said(0, mood="good")], colour="red")
    source.documents["working_memory:s"] = text(kept)
    ran = await carry(source.url, valkey_url)
    assert (ran.code, ran.last) == (1, "1 session, 1 message, 1 not whole")
    assert "working_memory:s: colour is not kept" in ran.err
    assert "working_memory:s: messages[0].mood is not kept" in ran.err


async def test_messages_without_id_and_time(source: JsonRedis, valkey_url: str) -> None:
    """Messages of old releases, that have neither id nor time, get them once and stay equal."""
    messages = [{"role": "user", "content": "old"}, {"role": "assistant", "content": "answer"}]
    source.documents["working_memory:s"] = text(document("s", messages=messages))
    first = await carry(source.url, valkey_url, "--verify")
    made = (await answer(valkey_url, "s"))["messages"]
    again = await carry(source.url, valkey_url, "--verify")
    assert (first.code, again.code) == (0, 0)
    assert (await answer(valkey_url, "s"))["messages"] == made


async def test_existing_sessions(source: JsonRedis, valkey_url: str) -> None:
    """One that is here and equal counts as done; another one is left alone until told otherwise."""
    source.documents["working_memory:a"] = text(document("a"))
    source.documents["working_memory:b"] = text(document("b"))
    await carry(source.url, valkey_url)
    source.documents["working_memory:b"] = text(document("b", count=3))
    ran = await carry(source.url, valkey_url)
    assert (ran.code, ran.last) == (1, "1 session, 2 messages, 1 left alone")
    assert ran.err == (
        "working_memory:b: left alone: a session is there already: message 2 is not the same\n"
    )
    assert len((await answer(valkey_url, "b"))["messages"]) == 2
    ran = await carry(source.url, valkey_url, "--overwrite", "--verify")
    assert (ran.code, ran.last) == (0, "2 sessions, 5 messages, all equal")
    assert len((await answer(valkey_url, "b"))["messages"]) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"context": "another"},
        {"tokens": 8},
        {"ttl_seconds": 60},
        {"messages": [said(0), said(1, content="edited")]},
        {"messages": [said(0), said(1, id="other")]},
        {"messages": [said(0), said(1, created_at="2026-01-02T03:04:05.000007Z")]},
        {"messages": [said(0), said(1, discrete_memory_extracted="t")]},
        {"messages": [said(0)]},
        {"messages": []},
    ],
)
async def test_any_difference_is_seen(
    source: JsonRedis, valkey_url: str, change: dict[str, Any]
) -> None:
    """A session here that differs in anything from its source is not taken for equal."""
    source.documents["working_memory:s"] = text(document("s"))
    assert (await carry(source.url, valkey_url)).code == 0
    source.documents["working_memory:s"] = text(document("s", **change))
    ran = await carry(source.url, valkey_url)
    assert (ran.code, ran.last) == (1, "0 sessions, 0 messages, 1 left alone")


async def test_deadlines(source: JsonRedis, valkey: ValkeyServer, valkey_url: str) -> None:
    """A deadline that no write moves over there stays; a time to live that writes restart does."""
    source.documents["working_memory:ticking"] = text(document("ticking"))
    source.left_ms["working_memory:ticking"] = 90_500
    source.documents["working_memory:sliding"] = text(document("sliding", ttl_seconds=3600))
    source.left_ms["working_memory:sliding"] = 1_000
    ran = await carry(source.url, valkey_url, "--verify")
    assert ran.code == 0, ran.err
    async with open_cache(valkey_url) as cache:
        for name in ("ticking", "sliding"):
            await cache.session(name).append({"role": "user", "content": "later"})
    with valkey.admin as client:
        left = {name: _left_ms(client, name) for name in ("ticking", "sliding")}
    assert 60_000 < left["ticking"] <= 91_000
    assert 3_000_000 < left["sliding"] <= 3_600_000
    assert (await answer(valkey_url, "ticking"))["ttl_seconds"] is None
    assert (await answer(valkey_url, "sliding"))["ttl_seconds"] == 3600


def _left_ms(client: redis.Redis, session_id: str) -> int:
    [key] = client.keys(f"*{session_id}}}")
    left: int = client.pttl(key)
    return left


async def test_dry_run_writes_nothing(
    source: JsonRedis, valkey: ValkeyServer, valkey_url: str
) -> None:
    """A dry run reads and checks everything, and leaves the store as it was."""
    source.documents["working_memory:s"] = text(document("s"))
    ran = await carry(source.url, valkey_url, "--dry-run")
    assert (ran.code, ran.last) == (
        0,
        "1 session, 2 messages, all can be carried over, nothing written",
    )
    source.documents["working_memory:bad"] = b"{"
    ran = await carry(source.url, valkey_url, "--dry-run")
    assert (ran.code, ran.last) == (
        1,
        "1 session, 2 messages, 1 not carried over, nothing written",
    )
    with valkey.admin as client:
        assert not client.keys("*{*s}")


async def test_session_that_changes_meanwhile(source: JsonRedis, valkey_url: str) -> None:
    """One that changed between reading and verifying is carried over again, as it is now."""
    counts = iter([2, 3, 3, 3])
    name = "working_memory:s"

    def grow(key: str) -> None:
        source.documents[key] = text(document("s", count=next(counts, 3)))

    source.documents[name] = text(document("s"))
    source.on_read = grow
    ran = await carry(source.url, valkey_url, "--verify")
    assert (ran.code, ran.last) == (0, "1 session, 3 messages, all equal")
    assert len((await answer(valkey_url, "s"))["messages"]) == 3


async def test_session_that_never_rests(source: JsonRedis, valkey_url: str) -> None:
    """One that is another at each reading is listed, and not left here half verified."""
    counts = iter(range(2, 100))
    source.documents["working_memory:s"] = text(document("s"))
    source.on_read = lambda key: source.documents.update(
        {key: text(document("s", count=next(counts)))}
    )
    ran = await carry(source.url, valkey_url, "--verify")
    assert (ran.code, ran.last) == (1, "0 sessions, 0 messages, 1 not carried over")
    assert "the source has another one now" in ran.err
    async with open_cache(valkey_url) as cache:
        assert not (await cache.session("s").recent(1)).exists


async def test_namespace_and_prefix(source: JsonRedis, valkey_url: str) -> None:
    """Only the namespace asked for is carried over, and keys may begin as was configured."""
    for namespace in ("n", "m"):
        source.documents[f"mem:{namespace}:s"] = text(document("s", namespace=namespace))
    ran = await carry(source.url, valkey_url, "--namespace", "n", "--key-prefix", "mem")
    assert (ran.code, ran.last) == (0, "1 session, 2 messages, all carried over")
    async with open_cache(valkey_url) as cache:
        [key] = await cache.find("s")
    assert key.namespace == "n"


async def test_source_that_cannot_be_reached(source: JsonRedis, valkey_url: str) -> None:
    """No source, a wrong password, a URL that is none: 2, and one line without secrets."""
    wrong = (
        source.url.replace("hush", "hush-hush"),
        f"redis://:hush@127.0.0.1:{free_port()}/0",
        f"http://127.0.0.1:{free_port()}",
        "redis://:hush@localhost:port/0",
        "redis://:hush@localhost/0?colour=red",
        "redis://me:1?hush@localhost",
        "redis://me:1#hush@localhost",
        "redis://:hush\udcff@localhost",
        "rediss://:hush@localhost?ssl_keyfile=pyproject.toml",
        "rediss://:hush@localhost?ssl_ciphers=HIGH",
        "ftp://:hush@localhost",
        "/no/such/file.jsonl",
    )
    for url in wrong:
        ran = await carry(url, valkey_url)
        assert (ran.code, ran.out) == (2, ""), url
        assert ran.err.startswith("memory-cache: ")
        assert ran.err.count("\n") == 1
        assert "hush" not in ran.err


async def test_target_that_cannot_be_reached(source: JsonRedis) -> None:
    """Without a store to write to the command ends with 2."""
    ran = await carry(source.url, f"redis://:hush@127.0.0.1:{free_port()}/0")
    assert (ran.code, ran.out) == (2, "")


async def test_http_api(valkey_url: str) -> None:
    """Over HTTP every session that an id alone names is carried over, and the others are listed."""
    with ValkeyServer() as other:
        async with listening(other.url) as url, serving(other.url) as client:
            for at in range(130):
                await client.put(f"/v1/working-memory/s{at}", json=document(f"s{at}"))
            for namespace in ("n", "m"):
                body = document("twice", namespace=namespace)
                await client.put("/v1/working-memory/twice", json=body)
            ran = await carry(url, valkey_url, "--verify")
            only = await carry(url, valkey_url, "--verify", "--namespace", "n")
    assert (ran.code, ran.last) == (1, "130 sessions, 260 messages, 1 not carried over")
    assert ran.err.startswith("twice: not carried over: 2 sessions have this id: give --namespace")
    assert (only.code, only.last) == (0, "1 session, 2 messages, all equal")
    found = await answer(valkey_url, "s7")
    assert found["messages"] == document("s7")["messages"]
    assert found["data"] == document("s7")["data"]
