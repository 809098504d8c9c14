"""What once broke a promise, found by readers who tried; each against a real Valkey."""

# ruff: noqa: ANN401  # calls are handed on as they come

import asyncio
import gc
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

import memory_cache._redis.store as redis_store
from memory_cache import (
    CacheConfig,
    ContractMessage,
    DamagedSessionError,
    Session,
    SessionCache,
    StoreError,
    VersionLostError,
    at_least,
    open_cache,
)
from memory_cache._redis.errors import lost
from memory_cache._redis.lane import Lane
from memory_cache._redis.script import FORGET
from support.valkey import ValkeyServer

WAIT_SECONDS = 10


def said(text: object, **more: object) -> dict[str, object]:
    """A message."""
    return {"role": "user", "content": f"said {text}", **more}


def contents(messages: list[dict[str, Any]]) -> list[str]:
    """What was said."""
    return [message["content"].removeprefix("said ") for message in messages]


def as_client(view_json: bytes) -> list[ContractMessage]:
    """A transcript as a client writes it back."""
    return [
        ContractMessage(m["role"], m["content"], m["id"], m["created_at"])
        for m in json.loads(view_json)
    ]


def store_of(cache: SessionCache) -> redis_store.RedisStore:
    """The store of a cache."""
    store = cache._parts.store
    assert isinstance(store, redis_store.RedisStore)
    return store


def lane_of(cache: SessionCache, *, bulk: bool = False) -> Lane:
    """The connection of a cache to its store."""
    store = store_of(cache)
    return store._bulk if bulk else store._lane


@pytest.fixture
async def cache(valkey_url: str) -> AsyncIterator[SessionCache]:
    """A cache over an empty Valkey."""
    async with open_cache(valkey_url) as cache:
        yield cache


async def insist(chat: Session, text: str) -> None:
    """Append as soon as the store takes it."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await chat.append(said(text))
            except StoreError as error:
                if error.applied != "no":
                    raise
                await asyncio.sleep(0.01)
            else:
                return


async def test_blocks_of_a_lost_history_are_not_mixed_in() -> None:
    """A block sealed by messages that a crash took is not served with those that came after."""
    with ValkeyServer() as server:
        async with open_cache(server.url) as cache:
            chat = cache.session("chat")
            await chat.append([said(at) for at in range(60)])
            with server.admin as admin:
                admin.save()
            await chat.append([said(f"lost {at}") for at in range(60, 70)])
            await chat.transcript()
            server.kill()
            server.start()
            for at in range(60, 70):
                await insist(chat, f"new {at}")

            expected = [*map(str, range(60)), *(f"new {at}" for at in range(60, 70))]
            assert contents((await chat.transcript()).messages) == expected
            assert contents([message async for message in chat]) == expected


async def test_put_keeps_what_is_equal_behind_a_difference(cache: SessionCache) -> None:
    """Editing one message leaves the tool calls of those after it."""
    chat = cache.session("chat")
    call = said(1, tool_calls=[{"id": "t"}])
    await chat.append([said(0), call, said(2)])
    client = as_client((await chat.transcript()).view_json)
    client[0] = client[0]._replace(content="edited")
    _, echo = await chat.put(client, {})

    page = await chat.transcript()
    assert page.messages[1:] == [call, said(2)]
    assert page.view_json == echo.view_json
    assert page.token_count == sum((await chat.recent(3)).token_counts or ())


@pytest.mark.parametrize(
    ("expires", "moment"),
    [(True, "ZRANGEBYSCORE"), (True, FORGET.sha), (False, "EXISTS"), (False, FORGET.sha)],
)
async def test_listing_does_not_remove_a_session_made_again(
    cache: SessionCache,
    valkey: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
    expires: bool,
    moment: str,
) -> None:
    """A session that comes back while a listing looks at its stale entry stays listed."""
    chat = cache.session("chat", namespace="n")
    await chat.append(said(0), ttl_seconds=60 if expires else None)
    with valkey.admin as admin:
        admin.delete("mc:{n//chat}")
        for name in admin.keys("mc:expires*"):
            admin.zadd(name, {"n//chat": 1})
    async with asyncio.timeout(WAIT_SECONDS), open_cache(valkey.url) as other:
        lane = lane_of(other)
        call = lane.call

        async def between(*command: Any, **more: Any) -> Any:
            if moment in command:
                monkeypatch.undo()
                await chat.append(said(1))
            return await call(*command, **more)

        monkeypatch.setattr(lane, "call", between)
        await other.list_sessions()
        assert lane.call != between, "the moment did not come"
        assert await other.find("chat") == (chat.key,)
        assert (await other.list_sessions(namespace="n")).sessions == (chat.key,)
        assert (await other.list_sessions()).total == 1


async def test_close_does_not_deny_a_change() -> None:
    """A change that had left when the cache was closed is unknown, not undone."""
    with ValkeyServer() as server:
        async with open_cache(server.url) as cache:
            chat = cache.session("chat")
            await chat.append(said(0))
            os.kill(server.pid, signal.SIGSTOP)
            change = asyncio.create_task(chat.append(said(1)))
            async with asyncio.timeout(WAIT_SECONDS):
                while not lane_of(cache)._sent:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
        os.kill(server.pid, signal.SIGCONT)
        with pytest.raises(StoreError) as refused:
            await change
        assert refused.value.applied == "unknown"


async def test_no_resend_after_standing_still(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stood still while it paused does not send again: its record may be gone."""
    config = CacheConfig(store_timeout_seconds=0.1, resend_seconds=0.8)
    async with open_cache(valkey_url, config=config) as cache:
        chat = cache.session("chat")
        await chat.append(said(0))
        lane = lane_of(cache)
        call = lane.call

        async def losing(*command: Any, **more: Any) -> Any:
            reply = await call(*command, **more)
            monkeypatch.undo()
            asyncio.get_running_loop().call_soon(time.sleep, 1.0)
            assert reply
            raise lost("unknown")

        monkeypatch.setattr(lane, "call", losing)
        with pytest.raises(StoreError) as refused:
            await chat.append(said(1))
        assert refused.value.applied == "unknown"
        assert contents((await chat.transcript()).messages) == ["0", "1"]


@pytest.mark.parametrize("ms", [0, 10**14])
async def test_store_whose_clock_was_set(cache: SessionCache, ms: int) -> None:
    """What we believe of the store's clock may be wrong by years: changes are made all the same."""
    chat = cache.session("chat")
    await chat.append(said(0))
    store_of(cache)._clock.heard(ms)
    assert not (await chat.append(said(1))).replayed
    assert contents((await chat.transcript()).messages) == ["0", "1"]


async def test_staged_transcript_is_whole_or_refused(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written aside and expired in part does not become the session."""
    monkeypatch.setattr(redis_store, "_STAGED_MS", 50)
    chat = cache.session("chat")
    await chat.append(said(0))
    lane = lane_of(cache, bulk=True)
    call = lane.call

    async def slow(*command: Any, **more: Any) -> Any:
        if command[0] == "HSET":
            await asyncio.sleep(0.1)
        return await call(*command, **more)

    monkeypatch.setattr(lane, "call", slow)
    with pytest.raises(StoreError) as refused:
        await chat.replace([said("y" * 40_000) for _ in range(200)])
    assert refused.value.applied == "no"
    assert contents((await chat.transcript()).messages) == ["0"]


async def test_cut_block_is_damage(
    valkey: ValkeyServer, valkey_url: str, cache: SessionCache
) -> None:
    """A sealed block that lost lines is an error, not a shorter transcript."""
    chat = cache.session("chat")
    # As the contract writes them: such a block is joined without being looked into.
    sent = [
        ContractMessage("user", f"said {at}", str(at), "2026-01-01T00:00:00Z") for at in range(70)
    ]
    await chat.put(sent, {})
    with valkey.admin as admin:
        block = admin.hget("mc:{//chat}", "b0")
        assert isinstance(block, bytes)
        admin.hset("mc:{//chat}", "b0", block.rsplit(b"\n", 30)[0])
    async with open_cache(valkey_url) as other:
        chat = other.session("chat")
        for call in (chat.transcript(), chat.recent(70), chat.page(after=-1)):
            with pytest.raises(DamagedSessionError):
                await call


async def test_abandoned_versions_leave_no_waiters(cache: SessionCache) -> None:
    """Asking for versions that never come leaves nothing behind."""
    chat = cache.session("chat")
    await chat.append(said(0))
    async with asyncio.timeout(WAIT_SECONDS):
        while (page := chat.peek(1)) is None:
            await chat.recent(1)
    assert page.version is not None
    for num in range(1000, 1010):
        with pytest.raises(VersionLostError):
            await chat.recent(1, consistency=at_least(replace(page.version, num=num)))
    assert len(cache._parts.near.waiters) == 0


async def test_abandoned_calls_leave_no_socket(valkey_url: str) -> None:
    """A batch of calls that were all given up is not written: nothing would keep the socket."""
    async with open_cache(valkey_url, config=CacheConfig(near_cache_bytes=0)) as cache:
        lane = lane_of(cache)
        assert await lane.call("PING") == b"PONG"
        for _ in range(20):
            given_up = asyncio.create_task(lane.call("PING"))
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.wait([given_up])
    # What is left of a transport that never closed is an error of this test.
    gc.collect()
