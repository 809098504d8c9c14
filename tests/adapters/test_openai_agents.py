import asyncio
from typing import Any, cast
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("agents")

import agents
from agents.memory import Session, SessionSettings, SQLiteSession

from memory_cache import (
    BOUNDED,
    NEWEST,
    CacheClosedError,
    CacheConfig,
    Consistency,
    InvalidInputError,
    SessionCache,
    Tier,
    cache_over,
    open_cache,
)
from memory_cache.adapters.openai_agents import MemoryCacheSession
from memory_cache.testing import InMemoryServer, InMemoryWorker, ManualClock
from support.agents_sdk import ITEMS, ScriptedModel, add, as_items, text
from support.valkey import ValkeyServer


async def test_items_come_back_equal(cache: SessionCache, other_cache: SessionCache) -> None:
    """Items of every kind, most without a role, come back as they were given, on any worker."""
    assert isinstance(MemoryCacheSession("s", cache), Session)
    await MemoryCacheSession("s", cache).add_items(as_items(ITEMS))
    for worker in (cache, other_cache):
        assert text(await MemoryCacheSession("s", worker).get_items()) == text(ITEMS)


@pytest.mark.parametrize(
    ("limit", "setting", "count"),
    [
        (None, None, 200),
        (None, 3, 3),
        (2, 3, 2),
        (0, 3, 0),
        (-1, None, 0),
        (None, 0, 0),
        (150, None, 150),
        (10**18, None, 200),
    ],
)
async def test_limits(
    cache: SessionCache, limit: int | None, setting: int | None, count: int
) -> None:
    """A limit goes before the settings' one; below 1 it means none, absent it means all."""
    session = MemoryCacheSession("s", cache, session_settings=SessionSettings(limit=setting))
    items = [{"role": "user", "content": str(at)} for at in range(200)]
    await session.add_items(as_items(items))
    assert text(await session.get_items(limit)) == text(items[200 - count :])


async def test_two_workers(cache: SessionCache, other_cache: SessionCache) -> None:
    """Of two workers that add and pop at once nothing is lost, doubled, or popped twice."""
    workers = [MemoryCacheSession("s", each) for each in (cache, other_cache)]
    pairs = [[{"n": at}, {"n": at, "second": True}] for at in range(60)]
    await asyncio.gather(
        *(workers[at % 2].add_items(as_items(pair)) for at, pair in enumerate(pairs))
    )
    held = cast("list[dict[str, Any]]", await workers[0].get_items())
    assert sorted(item["n"] for item in held[::2]) == list(range(60))
    assert all(b == {**a, "second": True} for a, b in zip(held[::2], held[1::2], strict=True))
    popped = await asyncio.gather(*(workers[at % 2].pop_item() for at in range(20)))
    left = await workers[1].get_items()
    assert sorted(map(text, [*popped, *left])) == sorted(map(text, held))
    assert text(left) == text(held[:100])


@pytest.mark.parametrize(("consistency", "seen"), [(NEWEST, 2), (BOUNDED, 1)])
async def test_what_another_worker_added(consistency: Consistency, seen: int) -> None:
    """What another worker has added is read though the news is late; bounded, it need not be."""
    clock = ManualClock()
    server = InMemoryServer(clock)
    one, two = InMemoryWorker(server), InMemoryWorker(server)
    async with (
        cache_over(one.store, one.bus, clock, CacheConfig()) as here,
        cache_over(two.store, two.bus, clock, CacheConfig()) as there,
    ):
        session = MemoryCacheSession("s", there, consistency=consistency)
        await MemoryCacheSession("s", here).add_items(as_items(ITEMS[:1]))
        async with asyncio.timeout(10):
            while (await there.session("s").recent(1)).tier is not Tier.NEAR:  # noqa: ASYNC110
                await asyncio.sleep(0)  # in its turns the near cache fills
        two.bus.hold()
        await MemoryCacheSession("s", here).add_items(as_items(ITEMS[1:2]))
        reading = asyncio.ensure_future(session.get_items(2))
        for _ in range(50):  # turns of the loop, in which all that can happen does
            await asyncio.sleep(0)
        assert reading.done() is (consistency is BOUNDED)
        two.bus.release()
        assert len(await reading) == seen


async def test_from_url(valkey_url: str) -> None:
    """A session of a URL opens its cache once, keeps a time to live, and ends with its block."""
    async with MemoryCacheSession.from_url("s", url=valkey_url, ttl_seconds=60) as session:
        assert await asyncio.gather(*(session.get_items() for _ in range(5))) == [[]] * 5
        await session.add_items(as_items(ITEMS))
        async with open_cache(valkey_url) as cache:
            assert (await cache.session("s").recent(0)).ttl_seconds == 60
    with pytest.raises(CacheClosedError):
        await session.get_items()


async def test_settings_as_the_sdk_takes_them(cache: SessionCache) -> None:
    """Settings may be a dictionary, as for the SDK's own sessions."""
    session = MemoryCacheSession("s", cache, session_settings={"limit": 2})
    await session.add_items(as_items(ITEMS))
    assert session.session_settings == SessionSettings(limit=2)
    assert text(await session.get_items()) == text(ITEMS[-2:])


async def test_from_url_takes_what_the_class_takes(valkey_url: str) -> None:
    """Scope, limits and consistency given with a URL hold."""
    one, other = [
        MemoryCacheSession.from_url(
            "s",
            url=valkey_url,
            config=CacheConfig(max_message_bytes=100, max_large_bytes=100),
            namespace="n",
            user_id=user,
            consistency=BOUNDED,
        )
        for user in ("u", "v")
    ]
    async with one, other:
        await one.add_items(as_items([{"role": "user"}]))
        with pytest.raises(InvalidInputError):
            await one.add_items(as_items([{"role": "x" * 100}]))
        assert await other.get_items() == []
        async with open_cache(valkey_url) as cache:
            assert (
                len((await cache.session("s", namespace="n", user_id="u").recent(9)).messages) == 1
            )
        assert one._consistency is BOUNDED  # noqa: SLF001  what it does is tried below


async def test_no_items(cache: SessionCache) -> None:
    """No items make no session, and there is nothing to pop of one that does not exist."""
    session = MemoryCacheSession("s", cache)
    await session.add_items([])
    assert await session.pop_item() is None
    await session.clear_session()
    assert await cache.find("s") == ()


async def test_shared_cache_goes_on(cache: SessionCache) -> None:
    """Closing a session leaves a cache that was passed in open, and namespaces keep apart."""
    async with MemoryCacheSession("s", cache, namespace="a") as session:
        await session.add_items(as_items(ITEMS))
    assert await MemoryCacheSession("s", cache, namespace="b").get_items() == []
    assert len(await MemoryCacheSession("s", cache, namespace="a").get_items()) == len(ITEMS)


async def test_runner(cache: SessionCache, other_cache: SessionCache) -> None:
    """The SDK's own runner, with a tool, goes on with a conversation on another worker."""
    agents.set_tracing_disabled(disabled=True)
    model = ScriptedModel()
    agent = agents.Agent(name="a", model=model, tools=[add])
    reference = SQLiteSession("s")
    for worker in (cache, other_cache):
        session = MemoryCacheSession("s", worker)
        result = await agents.Runner.run(agent, "add 1 and 2", session=session)
        assert result.final_output == "done"
        await agents.Runner.run(agent, "add 1 and 2", session=reference)
    assert text(await session.get_items()) == text(await reference.get_items())
    assert len(await session.get_items()) == 8
    reference.close()


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.sampled_from(ITEMS), max_size=70)),
        st.tuples(st.just("pop"), st.none()),
        st.tuples(st.just("clear"), st.none()),
        # Below 0 the SDK's own sessions differ: its SQLite gives all, its Redis none, as ours.
        st.tuples(st.just("get"), st.one_of(st.none(), st.integers(0, 200))),
        st.tuples(st.just("worker"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=100)
@given(OPERATIONS)
def test_as_the_sdk_s_own(valkey: ValkeyServer, operations: list[tuple[str, Any]]) -> None:
    """Whatever is done on two workers, every answer is that of the SDK's own SQLite session."""
    asyncio.run(compare(valkey.url, operations))


async def compare(url: str, operations: list[tuple[str, Any]]) -> None:
    """Do the same to both, and compare every answer and what is left."""
    name = uuid4().hex
    reference = SQLiteSession(name)
    async with open_cache(url) as one, open_cache(url) as other:
        ours, theirs = (MemoryCacheSession(name, cache) for cache in (one, other))
        for kind, value in [*operations, ("get", None)]:
            match kind:
                case "add":
                    await ours.add_items(value)
                    await reference.add_items(value)
                case "pop":
                    assert text(await ours.pop_item()) == text(await reference.pop_item())
                case "clear":
                    await ours.clear_session()
                    await reference.clear_session()
                case "get":
                    want = await reference.get_items(value)
                    assert text(await ours.get_items(value)) == text(want)
                case _:
                    ours, theirs = theirs, ours
    reference.close()
