"""A cache that is closed at any moment leaves no task, no socket and nobody waiting."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path
from random import Random

import pytest

from memory_cache import (
    NEWEST,
    CacheConfig,
    MemoryCacheError,
    Session,
    SessionCache,
    StoreError,
    open_cache,
)
from memory_cache.testing.faults.proxy import Class, Direction, Proxy, Trap, Weather
from memory_cache.testing.faults.rest import sockets
from memory_cache.testing.faults.store import Store

CONFIG = CacheConfig(
    staleness_seconds=0.3,
    store_timeout_seconds=0.4,
    connect_timeout_seconds=0.3,
    sweep_seconds=0.05,
    near_cache_bytes=40_000,
)
CALLERS_SECONDS = 4.0
"""In which whoever asked a cache before its end has an answer or an error."""

WEATHERS = Weather(holds=True), Weather(swallows=True), Weather(delay=0.05), Weather(rate=2e4)

TURNS = 8
LARGE = 900_000
CROWD = 40

READS = {"Reader._fetch", "SingleFlight.next.<locals>.in_turn"}
"""Reads that go on though nobody waits for them any more."""

CALLERS = {"Lane.call", "Lane.run_script", "Slices._values", "Slices._script"}
"""Parts of calls, which end with those who made them."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store of its own."""
    async with Store.running(tmp_path / "store") as running:
        yield running


def url(port: int) -> str:
    """The address of a store, or of what is in front of it."""
    return f"redis://127.0.0.1:{port}"


def message(size: int = 10) -> dict[str, str]:
    """A message."""
    return {"role": "user", "content": "x" * size}


async def live(session: Session) -> None:
    """Read until memory answers."""
    while session.peek(1) is None:
        await session.recent(1)
        await asyncio.sleep(0.001)


def left(known: set["asyncio.Task[object]"]) -> Counter[str]:
    """Tasks that run and are not known, by what they run."""
    names = (task.get_coro().__qualname__ for task in asyncio.all_tasks() - known)  # type: ignore[union-attr] # coroutines have one
    return Counter(name for name in names if name not in CALLERS)


@pytest.mark.parametrize("turns", range(TURNS))
async def test_reader_that_waits_for_a_fence(store: Store, turns: int) -> None:
    """Who asked for the newest a moment before the end is told, whichever step that was."""
    async with open_cache(url(store.port), config=CONFIG) as cache:
        session = cache.session("chat")
        await session.append(message())
        await live(session)
        read = asyncio.create_task(session.recent(1, consistency=NEWEST))
        for _ in range(turns):
            await asyncio.sleep(0)
    done, _ = await asyncio.wait([read], timeout=CALLERS_SECONDS)
    assert done == {read}
    assert isinstance(read.exception(), MemoryCacheError | None)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 10])
async def test_cancelled_while_it_closes(store: Store, turns: int) -> None:
    """Cancelled at its end a cache closes all the same, and the cancellation goes on then."""
    known, before = asyncio.all_tasks(), sockets()
    is_leaving = asyncio.Event()

    async def use() -> None:
        async with open_cache(url(store.port), config=CONFIG) as cache:
            session = cache.session("chat")
            await session.append(message())
            await live(session)
            is_leaving.set()

    using = asyncio.create_task(use())
    await is_leaving.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    using.cancel()
    await asyncio.wait([using])
    assert left(known) == Counter()
    assert sockets() == before


async def test_store_that_hangs(store: Store) -> None:
    """What a store that stands still did not take keeps no socket, of a lost lane or at the end."""
    before = sockets()
    async with open_cache(url(store.port), config=CONFIG) as cache:
        sessions = [cache.session(f"s{number}") for number in range(CROWD)]
        await asyncio.gather(*(session.append(message()) for session in sessions))
        opened = sockets()
        store.signal(signal.SIGSTOP)
        calls = (session.append(message(LARGE)) for session in sessions)
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, MemoryCacheError)
        assert sockets() <= opened
    assert sockets() == before
    store.signal(signal.SIGCONT)


async def test_change_under_way(store: Store) -> None:
    """A change on its way to a store that hangs ends as one of unknown outcome, tried no more."""
    async with open_cache(url(store.port), config=CONFIG) as cache:
        session = cache.session("chat")
        await session.append(message())
        store.signal(signal.SIGSTOP)
        change = asyncio.create_task(session.append(message()))
        async with asyncio.timeout(CALLERS_SECONDS):
            while not cache._parts.store._lane._sent:  # type: ignore[attr-defined]  # noqa: ASYNC110, SLF001  # nobody tells
                await asyncio.sleep(0)
    with pytest.raises(StoreError) as caught:
        await asyncio.wait_for(change, CALLERS_SECONDS)
    assert caught.value.applied == "unknown"
    assert cache.statistics().resent == 1, "a closed cache is asked once"
    store.signal(signal.SIGCONT)


def strike(proxy: Proxy, random: Random) -> None:
    """Do something to the links."""
    classes = random.choice([(Class.DATA, Class.BUS), (Class.DATA,), (Class.BUS,)])
    match random.randrange(6):
        case 0:
            for link in proxy.of(*classes):
                link.reset()
        case 1:
            for link in proxy.of(*classes):
                link.is_torn = True
        case 2:
            proxy.trap = Trap(b'{"role":', lambda: None)
        case 3:
            weather = random.choice(WEATHERS)
            for each in classes:
                for way in random.choice([[*Direction], [Direction.UP], [Direction.DOWN]]):
                    proxy.weather[each, way] = weather
        case _:
            """Nothing is wrong."""


async def ask(cache: SessionCache, random: Random) -> None:
    """Ask this and that, until the cache is closed."""
    while True:
        session = cache.session(f"s{random.randrange(5)}")
        try:
            match random.randrange(8):
                case 0 | 1 | 2:
                    await session.append(message())
                case 3:
                    await session.recent(5)
                case 4:
                    await session.recent(5, consistency=NEWEST)
                case 5:
                    await session.replace([message()] * random.choice([1, 200]))
                case 6:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.01 * random.random()):
                            await session.append(message())
                case _:
                    await session.delete()
        except MemoryCacheError as error:
            if error.code == "closed":
                return
        await asyncio.sleep(0.003 * random.random())


async def follow(cache: SessionCache, random: Random) -> None:
    """Follow a session until the cache is closed."""
    events = cache.session(f"s{random.randrange(5)}").events(patience_seconds=None)
    with suppress(MemoryCacheError):
        async with aclosing(events):
            async for _ in events:
                pass


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
async def test_at_any_moment(store: Store, seed: int) -> None:
    """Amid load, reconnects, resends and follows, over broken links: nothing of it stays."""
    random, before = Random(seed), sockets()
    proxy = Proxy(store.port)
    await proxy.open()
    try:
        known = asyncio.all_tasks()
        async with open_cache(url(proxy.port), config=CONFIG) as cache:
            works = [ask] * random.choice([0, 1, 5, 20]) + [follow] * random.choice([0, 3])
            callers = [asyncio.create_task(work(cache, random)) for work in works]
            await asyncio.sleep(0.15 * random.random())
            strike(proxy, random)
            await asyncio.sleep(random.choice([0.002, 0.1, 0.6]) * random.random())
        # Callers may have asked the closed cache by now; such a call ends by itself.
        assert left(known | {*callers}).keys() <= {"Proxy._dial", *READS}
        if callers:
            done, _ = await asyncio.wait(callers, timeout=CALLERS_SECONDS)
            assert done == {*callers}
        assert all(caller.exception() is None for caller in callers)
        assert left(known | {*callers}).keys() <= {"Proxy._dial"}
        assert len(cache._parts.near.waiters) == 0  # noqa: SLF001  it has no public name
        assert cache.statistics().crashes == {}
    finally:
        await proxy.aclose()
    async with asyncio.timeout(1):
        while sockets() > before:  # noqa: ASYNC110  the proxy's ends go in turns of the loop
            await asyncio.sleep(0.001)
