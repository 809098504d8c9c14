import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("langgraph.checkpoint")
pytest.importorskip("langgraph.checkpoint.conformance")

from langgraph.checkpoint.base import Checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.types import ERROR, _DeltaSnapshot

from memory_cache import (
    CacheConfig,
    DamagedSessionError,
    Session,
    SessionCache,
    TooLargeError,
    TranscriptEditedError,
    open_cache,
)
from memory_cache.adapters.langgraph import MemoryCacheSaver
from support.checkpoints import put, sent
from support.valkey import ValkeyServer


async def test_langgraph_s_own_suite(valkey_url: str) -> None:
    """LangGraph's own suite, unmodified: all that every checkpointer must do."""

    @checkpointer_test(name="memory-cache")
    async def saver() -> AsyncIterator[MemoryCacheSaver]:
        async with open_cache(valkey_url) as cache:
            yield MemoryCacheSaver(cache)

    report = await validate(saver)
    failures = {name: each.failures for name, each in report.results.items() if each.failures}
    assert failures == {}
    assert report.passed_all_base()
    assert sum(each.tests_passed for each in report.results.values()) >= 58


@pytest.mark.parametrize("falling", [True, False])
async def test_ids_in_any_order(
    cache: SessionCache, other_cache: SessionCache, *, falling: bool
) -> None:
    """The newest checkpoint is the one with the greatest id, though many came after it at once."""
    savers = [MemoryCacheSaver(each) for each in (cache, other_cache)]
    names = sorted((str(uuid6(clock_seq=1)) for _ in range(150)), reverse=True)
    order = names if falling else [names[0], *names[:0:-1]]
    root: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for start in range(0, 150, 30):
        some = enumerate(order[start : start + 30])
        await asyncio.gather(
            *(savers[at % 2].aput(root, put({}, {}, each), {}, {}) for at, each in some)
        )
    for saver in savers:
        found = await saver.aget_tuple(root)
        assert found is not None
        assert found.checkpoint["id"] == names[0]
        assert [each.checkpoint["id"] async for each in saver.alist(root)] == names


async def test_a_value_that_is_put_again(cache: SessionCache) -> None:
    """A list that is put again as it was costs no list; an id that is put again is that one."""
    ours = MemoryCacheSaver(cache)
    place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for version in range(1, 4):
        made = put({"a": [*range(9)]}, {"a": version}, str(uuid6()))
        place = await ours.aput(place, made, {}, {"a": version})
    assert (await cache.list_sessions()).total == 1
    made = put({"a": _DeltaSnapshot([*range(9)])}, {"a": 4}, str(uuid6()))
    place = await ours.aput(place, made, {}, {"a": 4})
    found = await ours.aget_tuple(place)
    assert found is not None
    assert isinstance(found.checkpoint["channel_values"]["a"], _DeltaSnapshot)
    made["channel_values"], made["channel_versions"] = {"a": "again"}, {"a": 5}
    await ours.aput(place, made, {}, {"a": 5})
    (first, *others) = [each async for each in ours.alist(place)]
    assert first.checkpoint["channel_values"] == {"a": "again"}
    assert others == []
    assert len([each async for each in ours.alist({"configurable": {"thread_id": "t"}})]) == 4


async def test_small_values_of_long_ago(
    cache: SessionCache, other_cache: SessionCache, valkey: ValkeyServer
) -> None:
    """Values that are small are not looked for where they were new."""
    ours = MemoryCacheSaver(cache)
    place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    values = {f"v{at}": at for at in range(30)}
    for _ in range(200):
        made = put(values, dict.fromkeys(values, 1), str(uuid6()))
        place = await ours.aput(place, made, {}, {})
    before = await sent(valkey)
    found = await MemoryCacheSaver(other_cache).aget_tuple(place)
    assert found is not None
    assert found.checkpoint["channel_values"] == values
    assert (await sent(valkey))[0] - before[0] < 10


async def test_metadata(cache: SessionCache) -> None:
    """What a call's config says goes into the metadata, as with LangGraph's own."""
    config: Any = {
        "configurable": {"thread_id": "t", "checkpoint_ns": "", "user": "u7"},
        "metadata": {"run": 7},
    }
    found = []
    for saver in (MemoryCacheSaver(cache), InMemorySaver()):
        place = await saver.aput(config, put({}, {}, str(uuid6())), {"step": 1}, {})
        got = await saver.aget_tuple(place)
        assert got is not None
        found.append(got.metadata)
    assert found[0] == found[1] == {"step": 1, "run": 7, "user": "u7"}


async def test_writes_again(cache: SessionCache) -> None:
    """Of a task's writes the first stay; of errors and the like the last does; none is nothing."""
    found = []
    for saver in (MemoryCacheSaver(cache), InMemorySaver()):
        place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        place = await saver.aput(place, put({}, {}, str(uuid6())), {}, {})
        for at in range(3):
            await saver.aput_writes(place, [("a", at), ("b", at), (ERROR, at)], "task", "p")
            await saver.aput_writes(place, [(ERROR, 10 + at), ("a", 10 + at)], "task", "q")
        got = await saver.aget_tuple(place)
        assert got is not None
        found.append(got.pending_writes)
    assert found[0] == found[1]
    log = cache.session("ns:", namespace="langgraph", user_id="t")
    before = (await log.recent(0)).next
    ours = MemoryCacheSaver(cache)
    newest = await ours.aget_tuple({"configurable": {"thread_id": "t"}})
    assert newest is not None
    await ours.aput_writes(newest.config, [], "task")
    assert (await log.recent(0)).next == before


async def test_deleted_while_it_is_read(cache: SessionCache) -> None:
    """A thread that is deleted, and begun anew, while it is read is an error and no mixture."""
    ours = MemoryCacheSaver(cache)
    root: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}

    async def filled() -> None:
        for _ in range(300):
            await ours.aput(root, put({}, {}, str(uuid6())), {}, {})

    await filled()
    for again in (True, False):
        reading = ours.alist(root)
        await anext(reading)
        await ours.adelete_thread("t")
        if again:
            await filled()
        with pytest.raises(TranscriptEditedError):
            async for _ in reading:
                pass


async def test_writes_before_their_checkpoint(cache: SessionCache) -> None:
    """Writes that come before their checkpoint, or long after it, are its writes."""
    ours = MemoryCacheSaver(cache)
    names = [str(uuid6(clock_seq=at)) for at in range(3)]
    places: list[Any] = [
        {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": each}}
        for each in names
    ]
    await ours.aput_writes(places[2], [("a", 2)], "early", "")
    for each in range(3):
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        await ours.aput(config, put({}, {}, names[each]), {"step": each}, {})
        got = await ours.aget_tuple(places[each])
        assert got is not None
        assert got.pending_writes == ([("early", "a", 2)] if each == 2 else [])
        for at in range(400):
            await ours.aput_writes(places[each], [("b", at)], f"task {at:03}", "")
    await ours.aput_writes(places[0], [("a", 0)], "late", "")
    found = [await ours.aget_tuple(each) for each in places]
    writes = [[*(each.pending_writes or [])] for each in found if each is not None]
    assert [len(each) for each in writes] == [401, 400, 401]
    assert (writes[0][0], writes[2][0]) == (("late", "a", 0), ("early", "a", 2))
    newest = await ours.aget_tuple({"configurable": {"thread_id": "t"}})
    assert newest is not None
    assert newest.checkpoint["id"] == names[2]


async def test_puts_at_once(cache: SessionCache, other_cache: SessionCache) -> None:
    """Of many who go on from one checkpoint at once each has its own list, and all are there."""
    savers = [MemoryCacheSaver(each) for each in (cache, other_cache)]
    root: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for version in range(1, 4):
        made = put({"m": list(range(20 * version))}, {"m": version}, str(uuid6()))
        root = await savers[0].aput(root, made, {}, {"m": version})
    lists = [[*range(60), f"mine {at}"] for at in range(20)]
    names = [str(uuid6()) for _ in lists]
    places = await asyncio.gather(
        *(
            savers[at % 2].aput(root, put({"m": each}, {"m": 4}, names[at]), {}, {"m": 4})
            for at, each in enumerate(lists)
        )
    )
    for at, each in enumerate(places):
        found = await savers[(at + 1) % 2].aget_tuple(each)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"m": lists[at]}
    assert len([each async for each in savers[0].alist(None)]) == 23


async def test_an_image(cache: SessionCache) -> None:
    """A value of some megabytes is kept."""
    ours = MemoryCacheSaver(cache)
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    image = "x" * 2**22
    made = await ours.aput(config, put({"v": image}, {"v": 1}, str(uuid6())), {}, {"v": 1})
    found = await ours.aget_tuple(made)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"v": image}


@pytest.fixture
async def limited(valkey_url: str) -> AsyncIterator[MemoryCacheSaver]:
    """A saver whose values may have a mebibyte."""
    async with open_cache(valkey_url, config=CacheConfig(max_large_bytes=2**20)) as cache:
        yield MemoryCacheSaver(cache)


async def test_limits(limited: MemoryCacheSaver) -> None:
    """A value over the limit is refused, and nothing is stored; a long list is no such value."""
    ours = limited
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    with pytest.raises(TooLargeError):
        await ours.aput(config, put({"v": "x" * 2**20}, {"v": 1}, str(uuid6())), {}, {"v": 1})
    assert await ours.aget_tuple(config) is None
    long = ["x" * 10_000] * 300
    made = await ours.aput(config, put({"v": long}, {"v": 1}, str(uuid6())), {}, {"v": 1})
    found = await ours.aget_tuple(made)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"v": long}
    with pytest.raises(KeyError):
        await ours.aput_writes(config, [("v", 1)], "task")


async def test_a_list_that_is_gone(cache: SessionCache) -> None:
    """A list that somebody has deleted is an error, never a shorter one; the thread can go."""
    ours = MemoryCacheSaver(cache)
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    long = ["x" * 10_000] * 300
    await ours.aput(config, put({"v": long}, {"v": 1}, str(uuid6())), {}, {"v": 1})
    (key,) = (await cache.list_sessions(namespace="langgraph-lists")).sessions
    session = cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)
    await session.pop()
    with pytest.raises(DamagedSessionError):
        await ours.aget_tuple(config)
    await ours.adelete_thread("t")
    assert (await cache.list_sessions()).total == 0


class Meanwhile(MemoryCacheSaver):
    """A saver beside which something happens once, while it does one of two things."""

    def __init__(
        self, cache: SessionCache, what: str, happens: Callable[[], Awaitable[Any]]
    ) -> None:
        super().__init__(cache)
        self.what, self.happens = what, happens
        self.happened = False

    async def _once(self, what: str) -> None:
        if what == self.what and not self.happened:
            self.happened = True
            await self.happens()

    async def _kept(self, *given: Any) -> dict[str, Any]:  # noqa: ANN401
        kept = await super()._kept(*given)
        await self._once("put")
        return kept

    async def _sessions(self, namespace: str, thread: str) -> list[Session]:
        if namespace.endswith("-lists"):
            await self._once("delete")
        return await super()._sessions(namespace, thread)


def checkpoint(version: int, size: int) -> Checkpoint:
    """A checkpoint with a list that grows, a value that stays, and one that is too long to copy."""
    values = {"m": [f"{at}" for at in range(size)], "long": "x" * 1000, "n": version}
    return put(values, {"m": version, "long": 1, "n": version}, str(uuid6()))


@pytest.mark.parametrize("again", [False, True])
async def test_deleted_while_it_is_put(
    cache: SessionCache, other_cache: SessionCache, *, again: bool
) -> None:
    """Of a thread that is deleted, or begun anew, meanwhile a checkpoint leads to nothing."""
    root: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    other = MemoryCacheSaver(other_cache)

    async def gone() -> None:
        await other.adelete_thread("t")
        if again:
            for version in range(1, 4):
                await other.aput(root, put({"n": 0}, {"n": version}, str(uuid6())), {}, {})

    saver, place = Meanwhile(cache, "put", gone), root
    for version in range(1, 4):
        place = await other.aput(place, checkpoint(version, 10 * version), {}, {})
    last = checkpoint(4, 40)
    place = await saver.aput(place, last, {}, {})
    found = await other.aget_tuple(place)
    assert found is not None
    assert found.checkpoint["channel_values"] == last["channel_values"]


async def test_put_while_it_is_deleted(cache: SessionCache, other_cache: SessionCache) -> None:
    """A thread that is begun anew while it is deleted keeps the lists that it has then."""
    root: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    other = MemoryCacheSaver(other_cache)
    long = put({"m": ["x" * 10_000] * 300}, {"m": 1}, str(uuid6()))
    await other.aput(root, long, {}, {})
    saver = Meanwhile(cache, "delete", lambda: other.aput(root, long, {}, {}))
    await saver.adelete_thread("t")
    assert saver.happened
    found = await other.aget_tuple(root)
    assert found is None or found.checkpoint["channel_values"] == long["channel_values"]


async def test_checkpoints_in_a_ring(cache: SessionCache) -> None:
    """Checkpoints that lead to one another are damage, and nobody follows them for ever."""
    saver = MemoryCacheSaver(cache)
    root: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    name = str(uuid6())
    place = await saver.aput(root, put({}, {}, name), {}, {})
    log = cache.session("ns:", namespace="langgraph", user_id="t")
    (line,) = (await log.transcript()).messages
    await log.replace([{**line, "parent": name}])
    async with asyncio.timeout(20):
        with pytest.raises(DamagedSessionError, match="ring"):
            await saver.aget_delta_channel_history(config=place, channels=["a"])
