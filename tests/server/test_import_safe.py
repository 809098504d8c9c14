"""What `memory-cache import` must never do: write where it only reads, lose, or say what is not."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Iterator
from functools import partial
from typing import Any

import pytest
import redis

from memory_cache import NEWEST, SessionCache, open_cache, session_key
from memory_cache_server.importing.carry import Carrier, Outcome, State, Ways
from memory_cache_server.importing.found import (
    UNFINISHED,
    Document,
    Found,
    Gone,
    Refused,
    Transcript,
    UnreadableError,
)
from memory_cache_server.importing.writing import Limits
from support.commands import command
from support.valkey import ValkeyServer

DEBUG = {"enable-debug-command": "local"}
READS = {"AUTH", "SCAN", "TYPE", "PTTL", "GET", "LLEN", "LRANGE", "WATCH", "MULTI", "EXEC"}
LIST = "agents:session:long:messages"


def document(session_id: str, *contents: str, **more: object) -> str:
    """A session as an agent-memory-server keeps it."""
    messages = [{"role": "user", "content": each, "id": each} for each in contents]
    return json.dumps({"session_id": session_id, "messages": messages, **more})


@pytest.fixture(scope="module")
def old_server() -> Iterator[ValkeyServer]:
    """Where sessions come from."""
    with ValkeyServer(listen="tcp", config=DEBUG) as server:
        yield server


@pytest.fixture
def old(old_server: ValkeyServer) -> Iterator[redis.Redis]:
    """A client of it; it is empty."""
    with old_server.admin as client:
        client.flushall()
        yield client


def digest(client: redis.Redis) -> object:
    """A hash of all that a server holds."""
    return client.execute_command("DEBUG", "DIGEST")  # type: ignore[no-untyped-call]


def test_dry_run_writes_nothing_at_all(old_server: ValkeyServer, old: redis.Redis) -> None:
    """A dry run leaves an empty store empty, and one with sessions as it is, to the last key."""
    old.set("working_memory:a", document("a", "one"))
    old.set("working_memory:b", document("b", "two"), ex=500)
    with ValkeyServer(config=DEBUG) as target, target.admin as client:
        words = ("import", old_server.url, "--dry-run", "--redis-url", target.url)
        for overwrite in ((), ("--overwrite",)):
            before = digest(client)
            assert command(*words, *overwrite).code == 0
            assert digest(client) == before
            command("import", old_server.url, "--redis-url", target.url)
            old.set("working_memory:b", document("b", "another"))


@pytest.mark.parametrize("layout", [(), ("--layout", "openai-agents")])
def test_source_is_only_read(
    old_server: ValkeyServer, old: redis.Redis, valkey_url: str, layout: tuple[str, ...]
) -> None:
    """Every command that reaches the source is one that reads, as the source itself tells."""
    for at in range(50):
        old.set(f"working_memory:s{at}", document(f"s{at}", "one"))
    old.rpush(LIST, *[json.dumps({"at": at}) for at in range(5000)])
    before = digest(old)
    seen: set[str] = set()
    watching = threading.Event()

    def watch() -> None:
        with old_server.admin as client, client.monitor() as monitor:
            watching.set()
            for said in monitor.listen():
                if said["command"] == "ECHO done":
                    return
                seen.add(said["command"].split(" ")[0].upper())

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert watching.wait(10)
    ran = command("import", old_server.url, *layout, "--verify", "--redis-url", valkey_url)
    assert ran.code == 0
    old.execute_command("ECHO done")  # type: ignore[no-untyped-call]
    watcher.join(10)
    assert "SCAN" in seen
    assert seen <= READS
    assert digest(old) == before


def test_what_a_dry_run_promises(
    old_server: ValkeyServer, old: redis.Redis, valkey_url: str
) -> None:
    """What a write would refuse as too large is refused by a dry run, for the same reason."""
    old.set("working_memory:message", document("message", "x" * 1_100_000))
    old.set("working_memory:fields", document("fields", data={"x": "y" * 5_000_000}))
    old.set("working_memory:session", document("session", *(f"{at}" * 1000 for at in range(9))))
    words = ("import", old_server.url, "--redis-url", valkey_url, "--max-session-bytes", "5000")
    dry, wet = command(*words, "--dry-run"), command(*words)
    assert sorted(dry.err.splitlines()) == sorted(wet.err.splitlines())
    assert dry.err.count("not carried over") == 3
    assert (dry.code, wet.code) == (1, 1)


def test_session_that_nobody_entered(
    old_server: ValkeyServer, old: redis.Redis, valkey: ValkeyServer, valkey_url: str
) -> None:
    """A session that an import left unlisted, for it was killed, is listed after the next run."""
    old.set("working_memory:n:lost", document("lost", "one", namespace="n"))
    old.rpush(LIST, "{}")
    for layout in ((), ("--layout", "openai-agents")):
        words = ("import", old_server.url, *layout, "--redis-url", valkey_url)
        assert command(*words).code == 0
        with valkey.admin as client:
            # As a listing leaves it that comes before the session is there, if a kill comes after.
            for name in client.keys("mc:active*") + client.keys("mc:id:*"):
                client.delete(name)
        assert command("sessions", "--redis-url", valkey_url).out == "no sessions\n"
        assert command(*words, "--dry-run").code == 0
        assert command("sessions", "--redis-url", valkey_url).out == "no sessions\n"
        assert command(*words).code == 0
        assert command("sessions", "--json", "--redis-url", valkey_url).out.count("session_id") == 1
        with valkey.admin as client:
            client.flushall()


def test_session_is_found_without_the_index(valkey: ValkeyServer, valkey_url: str) -> None:
    """Who names a session wholly sees it, whatever the index says."""
    asyncio.run(_append(valkey_url, "s", {"role": "user", "content": "hello"}))
    with valkey.admin as client:
        client.delete("mc:active", "mc:id:s")
    assert "hello" in command("show", "s", "--redis-url", valkey_url).out


async def _append(url: str, session_id: str, *messages: dict[str, Any]) -> None:
    async with open_cache(url) as cache:
        await cache.session(session_id).append(messages)


def transcript(*slices: list[dict[str, Any]], **more: Any) -> Transcript:  # noqa: ANN401
    """A session that is read in these slices."""

    async def read(_: list[str]) -> AsyncGenerator[list[dict[str, Any]]]:
        for some in slices:
            yield some

    return Transcript("made", session_key("s"), read, **more)


async def carry(carrier: Carrier, *found: Found) -> Outcome:
    """Carry over what is read as these, one after the other, the last again and again."""
    left = list(found)

    async def read() -> Found:
        return left.pop(0) if len(left) > 1 else left[0]

    outcome = await carrier.carry(read)
    assert outcome is not None
    return outcome


PARTS = [[{"at": 0}], [{"at": 1}], [{"at": 2}]]


async def unfinished(cache: SessionCache) -> None:
    """Begin to import a session, and be killed."""

    async def slices(_: list[str]) -> AsyncGenerator[list[dict[str, Any]]]:
        yield PARTS[0]
        yield PARTS[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await Carrier(cache, Ways()).carry(
            partial(_of, Transcript("made", session_key("s"), slices, fields={}))
        )
    assert UNFINISHED in (await cache.session("s").recent(0)).fields


async def _of(found: Found) -> Found:
    return found


@pytest.mark.parametrize("how", ["append", "fields", "pop"])
async def test_what_others_wrote_is_kept(valkey_url: str, how: str) -> None:
    """What was acknowledged to others, of a half imported session, goes only if asked for."""
    async with open_cache(valkey_url) as cache:
        await unfinished(cache)
        session = cache.session("s")
        if how == "append":
            await session.append({"role": "user", "content": "I am using it"})
        elif how == "fields":
            await session.set_fields({"context": "mine"})
        else:
            await session.pop()
            await session.append({"at": "mine"})
        before = await session.transcript()
        whole = transcript(*PARTS, fields={})
        outcome = await carry(Carrier(cache, Ways()), whole)
        assert outcome.state is State.DIFFERS
        assert "others wrote to" in outcome.reason
        after = await session.transcript()
        assert (after.json, after.fields) == (before.json, before.fields)
        outcome = await carry(Carrier(cache, Ways(overwrite=True, verify=True)), whole)
        assert outcome.state is State.CARRIED
        page = await session.transcript()
        assert (page.messages, page.fields) == ([{"at": at} for at in range(3)], {})


async def test_two_imports_at_once(valkey_url: str) -> None:
    """Two imports of the same long sessions leave each whole, once, and without a mark."""
    async with open_cache(valkey_url) as one, open_cache(valkey_url) as two:
        found = [
            transcript(*([{"at": (part, at)} for at in range(64)] for part in range(40)), fields={})
        ]
        ways = Ways(verify=True)
        outcomes = await asyncio.gather(
            *(carry(Carrier(cache, ways), *found) for cache in (one, two, one, two))
        )
        assert State.CARRIED in {outcome.state for outcome in outcomes}
        page = await one.session("s").transcript()
        assert page.messages == [{"at": [part, at]} for part in range(40) for at in range(64)]
        assert page.fields == {}
        assert (await carry(Carrier(two, ways), *found)).state is State.EQUAL


async def test_overwriting_needs_something_to_write(valkey_url: str) -> None:
    """A session here is not given up for one that cannot be read to its end, or not be kept."""

    async def broken(_: list[str]) -> AsyncGenerator[list[dict[str, Any]]]:
        yield [{"at": 0}]
        yield [{"at": 1}]
        raise UnreadableError("it is broken")

    async with open_cache(valkey_url) as cache:
        await cache.session("s").append({"mine": True})
        carrier = Carrier(cache, Ways(overwrite=True), Limits(message_bytes=1000))
        for found in (
            Transcript("made", session_key("s"), broken),
            transcript([{}], [{}], [{"long": "x" * 2000}]),
        ):
            outcome = await carry(carrier, found)
            assert outcome.state is State.REFUSED
            assert (await cache.session("s").transcript()).messages == [{"mine": True}]


@pytest.mark.parametrize("ttl_seconds", [None, 600])
async def test_overwriting_takes_the_time_to_live_away(
    valkey_url: str, ttl_seconds: int | None
) -> None:
    """A session that replaces one has its own time to live, or none."""
    async with open_cache(valkey_url) as cache:
        carrier = Carrier(cache, Ways(overwrite=True, verify=True))
        kept = Document("made", session_key("s"), [], {"context": "c"}, ttl_seconds)
        for found in (transcript([{}], ttl_seconds=ttl_seconds, fields={}), kept):
            await cache.session("s").replace([{"mine": True}], {}, ttl_seconds=90)
            assert (await carry(carrier, found)).state is State.CARRIED
            page = await cache.session("s").recent(0, consistency=NEWEST)
            assert (page.ttl_seconds, await cache.session("s").expires_in() is None) == (
                ttl_seconds,
                ttl_seconds is None,
            )


@pytest.mark.parametrize("now", [Refused("made", "is broken JSON now"), Gone("made")])
async def test_verified_is_what_was_compared(valkey_url: str, now: Found) -> None:
    """A session that its source cannot show any more is not said to be verified."""
    async with open_cache(valkey_url) as cache:
        outcome = await carry(Carrier(cache, Ways(verify=True)), transcript([{}]), now)
        if isinstance(now, Refused):
            assert outcome.state is State.REFUSED
            assert not (await cache.session("s").recent(0, consistency=NEWEST)).exists
        else:
            assert (outcome.state, len(outcome.remarks)) == (State.CARRIED, 1)


async def test_verify_sees_one_byte(valkey_url: str) -> None:
    """Something that changes one byte of what was written makes the verification fail."""
    async with open_cache(valkey_url) as cache:
        session = cache.session("s")

        async def read() -> Found:
            # Read for the second time it has been written, and is tampered with.
            page = await session.recent(2, consistency=NEWEST)
            if page.exists:
                await session.replace([{"a": "x"}, {"a": "z"}], {})
            return transcript([{"a": "x"}, {"a": "y"}], fields={})

        outcome = await Carrier(cache, Ways(verify=True)).carry(read)
        assert outcome is not None
        assert outcome.state is State.DIFFERS
        assert "message 1 is not the same" in outcome.reason
