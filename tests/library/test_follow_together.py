"""A thousand followers of one session: what they need of the store is read once for all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from library.helpers import said, several, until
from library.tails import Tail, tail
from memory_cache import CacheConfig, Session, SessionCache, SessionEventKind, open_cache
from support.valkey import ValkeyServer

FOLLOWERS = 1000
MEGABYTE = 1_000_000
ONE_MESSAGE = [said(0, text="x" * MEGABYTE)]
SEVERAL = [said(at, text="x" * (MEGABYTE // 64)) for at in range(64)]
MOST_COMMANDS = 40
"""Scripts and reads of fields that the store may run for all of them, fences among these."""


class Spent:
    """What a store has done since this was made."""

    def __init__(self, server: ValkeyServer) -> None:
        self._server = server
        self._before = self._counted()

    @property
    def commands(self) -> int:
        """How many scripts and reads of fields it ran."""
        return self._counted()[0] - self._before[0]

    @property
    def bytes_sent(self) -> int:
        """How much it sent to its clients."""
        return self._counted()[1] - self._before[1]

    def _counted(self) -> tuple[int, int]:
        with self._server.admin as client:
            commands = client.info("commandstats")
            sent = client.info("stats")["total_net_output_bytes"]
        names = ("hmget", "hgetall", "evalsha", "eval")
        calls = (commands.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)
        return sum(calls), sent


@asynccontextmanager
async def crowd(session: Session, *places: str | None) -> AsyncIterator[list[Tail]]:
    """A thousand followers, at these places in turn; those without a place have begun."""
    tails = [Tail(session, places[at % len(places)]) for at in range(FOLLOWERS)]
    try:
        for each in tails:
            if places == (None,):
                await each.has(bool)
        yield tails
    finally:
        for each in tails:
            each.task.cancel()
        await asyncio.wait([each.task for each in tails])


@asynccontextmanager
async def served(cache: SessionCache) -> AsyncIterator[None]:
    """Read and write other sessions until the block ends; each call must be answered."""
    session, done = cache.session("other"), asyncio.Event()

    async def use() -> None:
        while not done.is_set():
            await session.append(said(0))
            await session.recent(1)
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group:
        group.create_task(use())
        yield
        done.set()


async def all_told(tails: list[Tail], next_: int) -> None:
    """Wait until all were told all that there is."""
    for each in tails:
        await each.has(lambda told: bool(told) and told[-1].next == next_)


@pytest.fixture
def elsewhere(other_cache: SessionCache) -> Session:
    """The same session as `chat`, by another worker."""
    return other_cache.session("chat", namespace="acme", user_id="u7")


@pytest.mark.parametrize("messages", [ONE_MESSAGE, SEVERAL], ids=["one message", "several"])
async def test_first_append(
    cache: SessionCache,
    chat: Session,
    elsewhere: Session,
    valkey: ValkeyServer,
    messages: list[dict[str, object]],
) -> None:
    """The first append to a session that they wait for is read once, and everybody is served."""
    async with crowd(chat, None) as tails, served(cache):
        generations, spent = cache.statistics().generations, Spent(valkey)
        await elsewhere.append(messages)
        await all_told(tails, len(messages))
        asked = cache.statistics()
        assert spent.bytes_sent < 4 * MEGABYTE, "each of them read it"
        assert asked.generations == generations, "what they read left no room for fences"
    for each in tails:
        assert each.messages() == messages


async def test_commands_for_a_first_append(
    chat: Session, elsewhere: Session, valkey: ValkeyServer
) -> None:
    """The store runs as many commands for a thousand as it does for a few."""
    async with crowd(chat, None) as tails:
        spent = Spent(valkey)
        await elsewhere.append(several(0, 3))
        await all_told(tails, 3)
        assert spent.commands < MOST_COMMANDS


async def test_made_again(
    cache: SessionCache, chat: Session, elsewhere: Session, valkey: ValkeyServer
) -> None:
    """That it was deleted is asked once for all, and so is what was made in its place."""
    await elsewhere.append(several(0, 3))
    async with crowd(chat, None) as tails, served(cache):
        spent = Spent(valkey)
        await elsewhere.delete()
        for each in tails:
            await each.has(lambda told: told[-1].kind is SessionEventKind.DELETED)
        await elsewhere.append(SEVERAL)
        await all_told(tails, len(SEVERAL))
        assert spent.bytes_sent < 4 * MEGABYTE
    for each in tails:
        assert each.kinds == [SessionEventKind.FOLLOWING, SessionEventKind.DELETED]
        assert each.messages() == SEVERAL


async def test_at_different_places(
    cache: SessionCache, chat: Session, elsewhere: Session, valkey: ValkeyServer
) -> None:
    """A thousand who come back at once, each with a place of its own, share what they read."""
    async with tail(elsewhere) as follower:
        await elsewhere.append(SEVERAL)
        await follower.has(lambda told: told[-1].next == len(SEVERAL))
    places = [event.id for event in follower.told]
    async with served(cache):
        spent = Spent(valkey)
        async with crowd(chat, *places) as tails:
            await asyncio.gather(*(each.has(bool) for each in tails if each.after != places[-1]))
            await elsewhere.append(said(64))
            await all_told(tails, len(SEVERAL) + 1)
            assert spent.bytes_sent < 4 * MEGABYTE
    for at, each in enumerate(tails):
        assert each.seqs == list(range(at % len(places), len(SEVERAL) + 1))


async def test_of_nothing(valkey_url: str) -> None:
    """Waiting for a session that is not made, they ask for it now and then, and together."""
    config = CacheConfig(sweep_seconds=0.5)
    async with open_cache(valkey_url, config=config) as cache, crowd(cache.session("chat"), None):
        before = cache.statistics()

        async def looked_three_times() -> bool:
            return cache.statistics().misses - before.misses >= 3 * FOLLOWERS

        await until(looked_three_times)
        now = cache.statistics()
        shared = now.joined - before.joined
        assert now.misses - before.misses - shared < FOLLOWERS // 4
