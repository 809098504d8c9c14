import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("agents")

import agents

from memory_cache import (
    CacheClosedError,
    StoreError,
    open_cache,
)
from memory_cache.adapters.openai_agents import MemoryCacheSession
from support.agents_sdk import ITEMS, ScriptedModel, add, as_items, text
from support.valkey import ValkeyServer


@pytest.fixture
def loop_of_the_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop that the SDK runs again and again when it is not awaited."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()


@pytest.mark.usefixtures("loop_of_the_thread")
def test_run_sync(valkey: ValkeyServer, valkey_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """
    Runs that are not awaited, one after the other, then awaited ones on loops of their own.

    Each goes on with the conversation, and leaves no connection behind and nothing in the log.
    """
    agents.set_tracing_disabled(disabled=True)
    agent = agents.Agent(name="a", model=ScriptedModel(), tools=[add])
    session = MemoryCacheSession.from_url("s", url=valkey_url)
    for turn in range(4):
        if turn < 2:
            agents.Runner.run_sync(agent, "add 1 and 2", session=session)
        else:
            asyncio.run(agents.Runner.run(agent, "add 1 and 2", session=session))
        assert connections(valkey) == 1  # the one that asks
    assert len(asyncio.run(session.get_items())) == 16
    asyncio.run(session.close())
    with pytest.raises(CacheClosedError):
        asyncio.run(session.get_items())
    assert caplog.record_tuples == []


def connections(valkey: ValkeyServer) -> int:
    """How many there are to the store, once those that were closed have gone."""
    with valkey.admin as client:
        deadline = time.monotonic() + 10
        while (count := len(client.client_list())) > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        return count


def test_run_sync_with_a_cache_of_its_loop(
    valkey_url: str, loop_of_the_thread: asyncio.AbstractEventLoop
) -> None:
    """A cache that was opened on the loop of such runs stays open between them."""
    agents.set_tracing_disabled(disabled=True)
    agent = agents.Agent(name="a", model=ScriptedModel(), tools=[add])
    loop, opening = loop_of_the_thread, open_cache(valkey_url)
    session = MemoryCacheSession("s", loop.run_until_complete(opening.__aenter__()))
    for _ in range(2):
        agents.Runner.run_sync(agent, "add 1 and 2", session=session)
    assert len(loop.run_until_complete(session.get_items())) == 8
    loop.run_until_complete(opening.__aexit__(None, None, None))


def test_another_loop(valkey_url: str) -> None:
    """On another event loop than its cache's every method says so at once, and changes nothing."""
    loop = asyncio.new_event_loop()
    opening = open_cache(valkey_url)
    session = MemoryCacheSession("s", loop.run_until_complete(opening.__aenter__()))
    loop.run_until_complete(session.add_items(as_items(ITEMS)))
    calls: list[Any] = [
        session.get_items(),
        session.get_items(1),
        session.add_items(as_items(ITEMS)),
        session.pop_item(),
        session.clear_session(),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(asyncio.wait_for(call, 10))
    assert text(loop.run_until_complete(session.get_items())) == text(ITEMS)
    loop.run_until_complete(opening.__aexit__(None, None, None))
    loop.close()


async def test_threads_with_loops_of_their_own(valkey_url: str) -> None:
    """A session of a URL may be used on several event loops at once, and is closed on each."""
    session = MemoryCacheSession.from_url("s", url=valkey_url)

    async def several() -> None:
        async with asyncio.timeout(30):
            await asyncio.gather(*(session.add_items(as_items(ITEMS[:1])) for _ in range(10)))

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, several()) for _ in range(4)), several())
    assert len(await session.get_items()) == 50
    await session.close()


async def test_store_that_comes_later() -> None:
    """A session of a URL says what is wrong while there is no store, and works once there is."""
    with ValkeyServer() as server:
        session = MemoryCacheSession.from_url("s", url=server.url)
        server.stop()
        for call in (session.get_items(), session.add_items(as_items(ITEMS))):
            with pytest.raises(StoreError) as caught:
                await call
            assert caught.value.applied == "no"
        server.restart()
        await session.add_items(as_items(ITEMS))
        assert text(await session.get_items()) == text(ITEMS)
        await session.close()


async def test_cancelled_while_it_opens(valkey: ValkeyServer, valkey_url: str) -> None:
    """Wherever a first call is cancelled, the next one is answered; nothing is left open."""
    for turns in range(40):
        session = MemoryCacheSession.from_url("s", url=valkey_url)
        first = asyncio.ensure_future(session.add_items(as_items(ITEMS[:1])))
        for _ in range(turns):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        async with asyncio.timeout(10):
            assert await session.get_items() in ([], as_items(ITEMS[:1]))
            await session.clear_session()
        await session.close()
    assert connections(valkey) == 1
