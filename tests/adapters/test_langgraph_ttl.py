import asyncio
from typing import Any

import pytest

pytest.importorskip("langgraph.checkpoint")

from langgraph.checkpoint.base.id import uuid6

from memory_cache import InvalidInputError, SessionCache
from memory_cache.adapters.langgraph import MemoryCacheSaver
from support.checkpoints import put
from support.valkey import ValkeyServer

ROOT: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
INNER: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "inner:1"}}


class Hours:
    """The time of day that savers go by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        monkeypatch.setattr("memory_cache.adapters._langgraph_ttl.time", lambda: self.now)


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    """A time of day that the test sets."""
    return Hours(monkeypatch)


async def lives(cache: SessionCache, thread: str = "t") -> dict[str, float]:
    """How many seconds each session of a thread lives from now on."""
    found = {}
    for key in (await cache.list_sessions(user_id=thread, limit=1000)).sessions:
        session = cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)
        found[f"{key.namespace}/{key.session_id}"] = await session.expires_in() or 0.0
    return found


async def stepped(saver: MemoryCacheSaver, place: Any, size: int, version: int) -> Any:  # noqa: ANN401
    """A step that makes a list of so many elements."""
    made = put({"a": [*range(size)]}, {"a": version}, str(uuid6()))
    return await saver.aput(place, made, {}, {"a": version})


async def filled(saver: MemoryCacheSaver, steps: int = 3) -> tuple[Any, Any]:
    """A thread of two namespaces, each with a list, and where to go on in both."""
    root = inner = None
    for version, size in enumerate((10, 20, 30)[:steps], 1):
        root = await stepped(saver, root or ROOT, size, version)
        inner = await stepped(saver, inner or INNER, size, version)
    return root, inner


@pytest.mark.parametrize("steps", [2, 3])  # the second makes a list, the third lets it grow
async def test_all_ends_together(cache: SessionCache, hours: Hours, steps: int) -> None:
    """Whenever it was written, all that a thread has ends at the one moment."""
    saver = MemoryCacheSaver(cache, ttl_seconds=800)
    root, inner = await filled(saver, steps)
    # For the store no time goes by here, so what ends at the same moment as the rest has 50 less.
    hours.now += 50
    await saver.aput_writes(root, [("a", 1)], "task")
    assert [round(left, -1) for left in sorted((await lives(cache)).values())] == [850, *3 * [900]]
    await stepped(saver, inner, 40, 9)
    assert [round(left, -1) for left in sorted((await lives(cache)).values())] == [*3 * [850], 900]


async def test_use_puts_all_off(
    cache: SessionCache, other_cache: SessionCache, hours: Hours
) -> None:
    """What is written in one namespace, by any worker, keeps the thread as a whole alive."""
    await filled(MemoryCacheSaver(cache, ttl_seconds=800))
    worker = MemoryCacheSaver(other_cache, ttl_seconds=800)
    for write in (
        lambda at: worker.aput_writes(at, [("a", 1)], "task"),
        lambda at: stepped(worker, at, 3, 9),
    ):
        await expire_in(cache, 30)
        hours.now += 100
        found = await worker.aget_tuple(INNER)
        assert found is not None
        await write(found.config)
        assert min((await lives(cache)).values()) > 798
        found = await worker.aget_tuple(ROOT)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"a": [*range(30)]}


async def expire_in(cache: SessionCache, seconds: int) -> None:
    """Give all sessions so long to live, as if the rest of their time had gone by."""
    for key in (await cache.list_sessions(limit=1000)).sessions:
        session = cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)
        await session.set_fields({}, ttl_seconds=seconds)


async def test_the_rest_of_a_thread_is_put_off_now_and_then(
    cache: SessionCache, valkey: ValkeyServer, hours: Hours
) -> None:
    """What a step does not write costs it something once in an eighth of the time to live."""
    saver, start, costs = MemoryCacheSaver(cache, ttl_seconds=800), hours.now, []
    place, _ = await filled(saver)
    for hours.now in (start, start + 50, start + 99, start + 100):
        before = scripts(valkey)
        await saver.aput_writes(place, [("a", 1)], "task")
        costs.append(scripts(valkey) - before)
    assert max(costs[:3]) < 6
    assert costs[3] >= 10


def scripts(server: ValkeyServer) -> int:
    """How many scripts the store has run."""
    with server.admin as client:
        calls: Any = client.info("commandstats")
    return int(calls["cmdstat_evalsha"]["calls"])


async def test_a_thread_ends(cache: SessionCache) -> None:
    """A thread that nobody uses is gone, with all that it had, and begins anew under its name."""
    saver = MemoryCacheSaver(cache, ttl_seconds=1)
    await filled(saver)
    async with asyncio.timeout(30):
        while await lives(cache):  # noqa: ASYNC110  the store tells nobody
            await asyncio.sleep(0.05)
    assert await saver.aget_tuple(ROOT) is None
    await stepped(saver, ROOT, 10, 1)
    found = await saver.aget_tuple(ROOT)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": [*range(10)]}


async def test_without_one_it_lives_for_ever(cache: SessionCache) -> None:
    """A saver without a time to live gives none."""
    await filled(MemoryCacheSaver(cache))
    assert {*(await lives(cache)).values()} == {0.0}


@pytest.mark.parametrize("seconds", [1, 315_360_000])
async def test_times_that_are_just_taken(cache: SessionCache, seconds: int) -> None:
    """The shortest and the longest time to live that are not refused can be written with."""
    await filled(MemoryCacheSaver(cache, ttl_seconds=seconds))
    assert max((await lives(cache)).values()) > seconds - 1


@pytest.mark.parametrize("seconds", [0, -1, 315_360_001])
async def test_no_time_is_refused(cache: SessionCache, seconds: int) -> None:
    """A time to live below a second, or over ten years, is refused where it is given."""
    with pytest.raises(InvalidInputError, match="ttl_seconds"):
        MemoryCacheSaver(cache, ttl_seconds=seconds)
