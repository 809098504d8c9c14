import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from library.helpers import check, heat, said, several, until
from memory_cache import (
    NEWEST,
    CacheClosedError,
    CacheConfig,
    IncompatibleStoreError,
    MemoryCacheError,
    Session,
    SessionCache,
    StoreError,
    StoreTimeoutError,
    open_cache,
)
from support.valkey import ValkeyServer

CONFIG = CacheConfig(store_timeout_seconds=0.5, connect_timeout_seconds=0.2)
BOUND_SECONDS = 3.0


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A Valkey of this test's own, which saves every command."""
    config = {"appendonly": "yes", "appendfsync": "always"}
    with ValkeyServer(config=config) as server:
        yield server


@pytest.fixture
async def impatient(server: ValkeyServer) -> AsyncIterator[SessionCache]:
    """A cache over that server, which waits for it only half a second."""
    async with open_cache(server.url, config=CONFIG) as cache:
        yield cache


def ways(chat: Session) -> list[Callable[[], Awaitable[object]]]:
    """Every way to ask or tell the store something."""
    return [
        lambda: chat.append(said(9)),
        lambda: chat.replace([said(9)]),
        lambda: chat.put([], {}),
        lambda: chat.set_fields({"a": 1}),
        chat.delete,
        chat.pop,
        lambda: chat.page(before=1),
        chat.transcript,
    ]


async def fails(call: Callable[[], Awaitable[object]]) -> StoreError:
    """Call, and return the error, which has to come in time."""
    begun = time.monotonic()
    with pytest.raises(StoreError) as caught:
        await call()
    assert time.monotonic() - begun < BOUND_SECONDS
    return caught.value


async def back(chat: Session) -> None:
    """Wait until the store answers again."""

    async def answers() -> bool:
        try:
            await chat.transcript()
        except StoreError:
            return False
        return True

    await until(answers)


async def test_stopped_store(server: ValkeyServer, impatient: SessionCache) -> None:
    """A store that is not there is an error in time, nothing applied; then all goes on."""
    chat = impatient.session("chat")
    await chat.append(several(0, 3))
    await heat(chat)
    server.stop()
    await fails(chat.transcript)
    for call in ways(chat):
        assert (await fails(call)).applied == "no"
    await fails(impatient.list_sessions)
    await fails(lambda: impatient.find("chat"))
    server.start()
    await back(chat)
    await check(chat, several(0, 3))
    await chat.append(said(3))
    await heat(chat)
    await check(chat, several(0, 4))


async def test_paused_store(server: ValkeyServer, impatient: SessionCache) -> None:
    """A store that hangs is a timeout in time; a change may or may not be made, and only once."""
    chat = impatient.session("chat")
    await chat.append(said(0))
    await heat(chat)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        error = await fails(lambda: chat.append(said(1)))
        assert error.applied == "unknown"
        # A cold read of the same session may answer older data only while its lease holds.
        await fails(chat.transcript)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await back(chat)
    whole = await chat.transcript()
    assert whole.messages in ([said(0)], several(0, 2))
    assert (await chat.recent(5)).messages == whole.messages


async def test_paused_store_is_a_timeout(server: ValkeyServer, impatient: SessionCache) -> None:
    """The error of a store that hangs tells it from one that is not there."""
    chat = impatient.session("chat")
    await chat.append(said(0))
    os.kill(server.pid, signal.SIGSTOP)
    try:
        assert isinstance(await fails(chat.transcript), StoreTimeoutError)
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_restarted_store(server: ValkeyServer, impatient: SessionCache) -> None:
    """A store that was restarted between two calls is not noticed, or once; nothing is doubled."""
    chat = impatient.session("chat")
    want = []
    for at in range(4):
        new = said(at)
        await chat.append(new)
        want.append(new)
        await heat(chat)
        server.restart()
        await back(chat)
        assert (await chat.recent(9)).messages == want
    await check(chat, want)


async def test_lost_connections_double_nothing(
    server: ValkeyServer, impatient: SessionCache
) -> None:
    """Appends whose connections are cut again and again are applied once if acknowledged."""
    chat = impatient.session("chat")
    await chat.append(said(0))
    acknowledged, unknown = [0], []
    cutting = True

    async def cut() -> None:
        while cutting:
            with server.admin as client:
                client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.003)

    cutter = asyncio.create_task(cut())
    for at in range(1, 80):
        try:
            await chat.append(said(at))
        except StoreError as error:
            if error.applied == "unknown":
                unknown.append(at)
        else:
            acknowledged.append(at)
    cutting = False
    await cutter
    await back(chat)
    held = [int(m["content"].split()[1]) for m in (await chat.transcript()).messages]
    assert held == sorted(set(held))
    assert set(acknowledged) <= set(held) <= set(acknowledged) | set(unknown)
    assert impatient.statistics().resent > 0


async def test_lost_scripts_are_not_noticed(valkey: ValkeyServer, chat: Session) -> None:
    """A server that forgot our scripts is told them again, by every kind of call."""
    await chat.append(several(0, 3))
    await heat(chat)
    for call in (
        lambda: chat.append(said(3)),
        lambda: chat.recent(1000),
        lambda: chat.page(before=2),
        chat.pop,
        chat.transcript,
        lambda: chat.replace(several(0, 3)),
        chat.delete,
        lambda: chat.append(said(0)),
    ):
        with valkey.admin as client:
            client.script_flush()
        await call()
    await check(chat, [said(0)])


async def test_flushed_store(valkey: ValkeyServer, cache: SessionCache, chat: Session) -> None:
    """After a flush no session of before is answered for longer than T, and all goes on."""
    await chat.append(said(0))
    await heat(chat)
    with valkey.admin as client:
        client.flushall()

    async def gone() -> bool:
        return not (await chat.recent(1)).exists

    await until(gone)
    await chat.append(said(1))
    await heat(chat)
    await check(chat, [said(1)])
    assert cache.statistics().generations >= 2


async def test_full_store(server: ValkeyServer, impatient: SessionCache) -> None:
    """A store that is full refuses changes, applied no, and still reads and deletes."""
    chat = impatient.session("chat")
    await chat.append(several(0, 3))
    with server.admin as client:
        client.config_set("maxmemory", "1")
        error = await fails(lambda: chat.append(said(3)))
        assert error.applied == "no"
        await check(chat, several(0, 3))
        assert (await chat.delete()).existed
        assert not (await chat.recent(1)).exists
        client.config_set("maxmemory", "0")
    await chat.append(said(3))
    await check(chat, [said(3)])


async def test_no_server(server: ValkeyServer) -> None:
    """Opening a cache where there is no server is an error, in time."""
    server.stop()
    begun = time.monotonic()
    with pytest.raises(StoreError):
        async with open_cache(server.url, config=CONFIG):
            pass
    assert time.monotonic() - begun < BOUND_SECONDS


@pytest.mark.parametrize("url", ["", "http://localhost", "localhost:6379", "redis://h:port"])
async def test_no_url(url: str) -> None:
    """What is no URL of a Redis is a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  # redis-py's own
        async with open_cache(url):
            pass


async def test_closed_cache(valkey_url: str) -> None:
    """After its block a cache refuses what needs the store."""
    async with open_cache(valkey_url) as cache:
        chat = cache.session("chat")
        await chat.append(said(0))
    for call in ways(chat):
        with pytest.raises(CacheClosedError):
            await call()


async def test_errors_of_the_block_go_on(valkey_url: str) -> None:
    """What ends the block by an exception ends it by that exception."""

    async def block() -> None:
        async with open_cache(valkey_url) as cache:
            await cache.session("chat").append(said(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()


async def test_cancelled_changes_are_whole(chat: Session) -> None:
    """A change whose caller was cancelled is made as a whole or not at all."""
    await chat.append(said(0))
    await heat(chat)
    for turns in range(8):
        task = asyncio.create_task(chat.append([said(turns)] * 3))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    # Asked on the same connection, after whatever is still on its way.
    whole = await chat.transcript()
    turns_held = [message["content"] for message in whole.messages[1:]]
    assert all(turns_held.count(text) % 3 == 0 for text in turns_held)
    assert (await chat.recent(100, consistency=NEWEST)).messages == whole.messages


async def test_errors_have_one_root() -> None:
    """All errors of the library can be caught at once, and say what was applied."""
    for kind in (StoreError("x"), IncompatibleStoreError(), CacheClosedError()):
        assert isinstance(kind, MemoryCacheError)
        assert kind.applied == "no"
        assert kind.code
