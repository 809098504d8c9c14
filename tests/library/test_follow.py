"""Following a session over a real store: everything once, in order, whatever happens meanwhile."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from library.helpers import WAIT_SECONDS, heat, record_of, said, several, until
from library.tails import Tail, tail
from memory_cache import (
    CacheClosedError,
    CacheConfig,
    InvalidInputError,
    NearCacheOffError,
    Session,
    SessionCache,
    SessionEventKind,
    StoreError,
    TranscriptEditedError,
    open_cache,
)
from support.valkey import ValkeyServer
from unit.inside import MOST_TOLD

FOLLOWING = SessionEventKind.FOLLOWING
EDITED, DELETED = SessionEventKind.EDITED, SessionEventKind.DELETED


async def some_fences(cache: SessionCache) -> None:
    """Wait for some beats of the listener, at which it closes channels, too."""
    goal = cache.statistics().fences + 6

    async def sent() -> bool:
        return cache.statistics().fences >= goal

    await until(sent)


@pytest.fixture
def elsewhere(other_cache: SessionCache) -> Session:
    """The same session as `chat`, by another worker."""
    return other_cache.session("chat", namespace="acme", user_id="u7")


async def test_messages_of_several_workers(
    chat: Session, elsewhere: Session, valkey_url: str
) -> None:
    """Every follower is told every message once and in order, whoever adds it and how many."""
    await chat.append(several(0, 3))
    async with (
        open_cache(valkey_url) as third,
        tail(chat) as here,
        tail(elsewhere) as there,
        tail(third.session("chat", namespace="acme", user_id="u7")) as third_one,
    ):

        async def write(session: Session, start: int) -> None:
            for at in range(start, start + 40):
                await session.append(several(at, at + 1 + at % 3))

        await asyncio.gather(write(chat, 100), write(elsewhere, 200), write(chat, 300))
        whole = await chat.transcript()
        for follower in (here, there, third_one):
            await follower.has(lambda told: bool(told) and told[-1].next == whole.next)
            assert follower.kinds == [FOLLOWING]
            assert follower.told[0].next == 3
            assert follower.seqs == list(range(3, whole.next))
            assert follower.messages() == whole.messages[3:]


@pytest.mark.parametrize("hot", [False, True])
async def test_resume_at_every_place(chat: Session, elsewhere: Session, hot: bool) -> None:
    """Behind any event, the middle of one append too, one goes on anywhere with what follows."""
    async with tail(chat) as follower:
        for at in range(0, 12, 4):
            await elsewhere.append(several(at, at + 4))
        await follower.has(lambda told: told[-1].next == 12)
    if hot:
        await heat(elsewhere)
    await chat.append(several(12, 14))
    for event in follower.told:
        async with tail(elsewhere, event.id) as again:
            await again.has(lambda told: bool(told) and told[-1].next == 14)
            assert again.seqs == list(range(event.next, 14))
            assert again.messages() == several(event.next, 14)


async def test_resume_far_behind(chat: Session) -> None:
    """One who was away for longer than a ring reaches back is told everything, from the store."""
    async with tail(chat) as follower:
        pass
    for at in range(0, 1000, 100):
        await chat.append(several(at, at + 100))
    await heat(chat)
    async with tail(chat, follower.told[0].id) as again:
        await chat.append(said(1000))
        await again.has(lambda told: bool(told) and told[-1].next == 1001)
        assert again.messages() == several(0, 1001)


async def test_many_resume_far_behind(cache: SessionCache, chat: Session) -> None:
    """Many who come back at once, farther behind than a ring reaches, share reads of the store."""
    async with tail(chat) as follower:
        pass
    for at in range(0, 640, 64):
        await chat.append(several(at, at + 64))
    await heat(chat)
    count, before = 50, cache.statistics().misses
    async with AsyncExitStack() as stack:
        tails = [
            await stack.enter_async_context(tail(chat, follower.told[0].id)) for _ in range(count)
        ]
        for each in tails:
            await each.has(lambda told: bool(told) and told[-1].next == 640)
            assert each.messages() == several(0, 640)
    reads = cache.statistics().misses - before
    assert reads < 640 // MOST_TOLD * 3, "they did not share them"


@pytest.mark.parametrize("hot", [False, True])
@pytest.mark.parametrize("ahead", [1, 4, 10**30])
async def test_resume_ahead_of_everything(chat: Session, hot: bool, ahead: int) -> None:
    """A place that no event had is told to read again, and then all that is added."""
    await chat.append(several(0, 3))
    if hot:
        await heat(chat)
    header = (await chat.recent(0)).header
    assert header is not None
    async with tail(chat, after=f"{header.version}/{header.edits}/{3 + ahead}") as here:
        await here.has(bool)
        await chat.append(said(3))
        await here.has(lambda told: told[-1].seq == 3)
        assert here.kinds == [EDITED]
        assert here.seqs == [3]


async def test_go_on_behind_a_page(chat: Session, elsewhere: Session) -> None:
    """Reading first and following after the page leaves no gap."""
    await chat.append(several(0, 3))
    page = await chat.page(after=-1, limit=2)
    found = []
    async with asyncio.timeout(WAIT_SECONDS):
        async for message in elsewhere.follow(after=page):
            found.append(message)
            if len(found) == 2:
                break
            await chat.append(said(3))
    assert found == several(2, 4)


async def test_version_alone(chat: Session) -> None:
    """A version alone is a place while it is the newest; later it is told to read again."""
    change = await chat.append(several(0, 3))
    async with tail(chat, str(change.version)) as follower:
        await follower.has(bool)
        await chat.append(said(3))
        await follower.has(lambda told: told[-1].next == 4)
        assert (follower.kinds, follower.seqs) == ([FOLLOWING], [3])
    async with tail(chat, str(change.version)) as late:
        await late.has(bool)
        await chat.append(said(4))
        await late.has(lambda told: told[-1].next == 5)
        assert (late.kinds, late.seqs) == ([EDITED], [4])


async def test_edits(chat: Session, elsewhere: Session) -> None:
    """An edit is told as one, with where the session is now; then it goes on."""
    await chat.append(several(0, 3))
    async with tail(elsewhere) as follower:
        await chat.append(said(3))
        await follower.has(lambda told: told[-1].next == 4)
        await chat.pop()
        await follower.has(lambda told: told[-1].kind is EDITED)
        assert (follower.told[-1].first, follower.told[-1].next) == (0, 3)
        await chat.append(said(30))
        await follower.has(lambda told: told[-1].next == 4)
        await chat.replace(several(50, 60))
        await follower.has(lambda told: told[-1].kind is EDITED)
        await chat.append(said(60))
        await follower.has(lambda told: told[-1].next == 11)
        assert follower.kinds == [FOLLOWING, EDITED, EDITED]
        assert follower.messages() == [said(3), said(30), said(60)]


async def test_fields_are_no_event(chat: Session) -> None:
    """Changes of fields alone are not told, and nothing is missed over them."""
    await chat.append(said(0))
    async with tail(chat) as follower:
        for at in range(5):
            await chat.set_fields({"context": str(at)})
        await chat.append(said(1))
        await follower.has(lambda told: told[-1].next == 2)
        assert (follower.kinds, follower.seqs) == ([FOLLOWING], [1])


async def test_delete_and_recreate(chat: Session, elsewhere: Session) -> None:
    """A delete is told, and what is made under the same name afterwards, from its beginning."""
    await chat.append(several(0, 3))
    async with tail(elsewhere) as follower:
        await chat.delete()
        await follower.has(lambda told: told[-1].kind is DELETED)
        await chat.append(several(10, 12))
        await follower.has(lambda told: told[-1].next == 2)
        assert (follower.kinds, follower.seqs) == ([FOLLOWING, DELETED], [0, 1])
        assert follower.messages() == several(10, 12)


async def test_deleted_and_recreated_meanwhile(chat: Session, elsewhere: Session) -> None:
    """One who was away while the session was deleted and made again is told both."""
    await chat.append(several(0, 3))
    async with tail(elsewhere) as follower:
        pass
    await chat.delete()
    await chat.append(said(10))
    async with tail(elsewhere, follower.told[0].id) as again:
        await again.has(lambda told: bool(told) and told[-1].next == 1)
        assert (again.kinds, again.messages()) == ([DELETED], [said(10)])


async def test_before_it_exists(valkey_url: str, elsewhere: Session) -> None:
    """A session that does not exist can be followed; waiting for it asks the store no more."""
    config = CacheConfig(staleness_seconds=0.3, sweep_seconds=600)
    async with (
        open_cache(valkey_url, config=config) as cache,
        tail(cache.session("chat", namespace="acme", user_id="u7")) as follower,
    ):
        assert follower.told[0].version is None
        await some_fences(cache)
        before = cache.statistics().misses
        await some_fences(cache)
        assert cache.statistics().misses == before
        await elsewhere.append(several(0, 2))
        await follower.has(lambda told: told[-1].next == 2)
        assert follower.messages() == several(0, 2)


async def test_waits_without_asking(cache: SessionCache, chat: Session, elsewhere: Session) -> None:
    """What is hot is told from the ring: the store is asked nothing, waiting or not."""
    await chat.append(said(0))
    async with tail(chat) as follower:
        await heat(chat)
        before = cache.statistics().misses
        for at in range(1, 50):
            await elsewhere.append(said(at))
        await follower.has(lambda told: told[-1].next == 50)
        assert cache.statistics().misses == before
        assert follower.seqs == list(range(1, 50))


async def test_expiry(valkey_url: str) -> None:
    """The end of a session's time to live is told, though no message tells of it."""
    async with open_cache(valkey_url, config=CacheConfig(sweep_seconds=600)) as cache:
        chat = cache.session("chat")
        await chat.append(several(0, 2), ttl_seconds=1)
        async with tail(chat) as follower:
            await follower.has(lambda told: told[-1].kind is DELETED)
            await chat.append(said(5))
            await follower.has(lambda told: told[-1].next == 1)
            assert follower.messages() == [said(5)]


async def test_eviction(valkey_url: str) -> None:
    """More sessions than the near cache has room for can be followed, in a bounded budget."""
    config = CacheConfig(near_cache_bytes=32 * 1024)
    async with open_cache(valkey_url, config=config) as small:
        followers = []
        try:
            for name in range(24):
                follower = Tail(small.session(f"s{name}"))
                followers.append(follower)
                await follower.has(bool)
            for at in range(8):
                for name in range(24):
                    await small.session(f"s{name}").append(said(at, text="x" * 100))
            for follower in followers:
                await follower.has(lambda told: told[-1].next == 8)
                assert follower.seqs == list(range(8))
            assert small.statistics().evicted > 0
            assert small.statistics().bytes_held <= config.near_cache_bytes
        finally:
            for follower in followers:
                follower.task.cancel()
            await asyncio.wait([follower.task for follower in followers])


async def test_the_channel_stays(valkey_url: str, elsewhere: Session) -> None:
    """The channel of a session that is followed is not closed, for long as nothing happens."""
    config = CacheConfig(staleness_seconds=0.3, sweep_seconds=600)
    async with (
        open_cache(valkey_url, config=config) as quick,
        tail(quick.session("chat", namespace="acme", user_id="u7")) as follower,
    ):
        await some_fences(quick)
        await elsewhere.append(said(0))
        await follower.has(lambda told: told[-1].next == 1)


@pytest.mark.parametrize("exists", [False, True])
async def test_bus_lost(
    chat: Session, elsewhere: Session, valkey: ValkeyServer, exists: bool
) -> None:
    """Over a subscription that is cut again and again, nothing is missed and nothing doubled."""
    if exists:
        await elsewhere.append(said(0))
    async with tail(chat) as follower:
        for at in range(int(exists), 60):
            if at % 10 == 5:
                with valkey.admin as store:
                    store.client_kill_filter(_type="pubsub")
            await elsewhere.append(said(at))
        await follower.has(lambda told: told[-1].next == 60)
        assert (follower.kinds, follower.seqs) == ([FOLLOWING], list(range(int(exists), 60)))


async def test_deleted_by_hand(valkey_url: str, valkey: ValkeyServer) -> None:
    """A session that goes without a message is told by the sweep."""
    async with open_cache(valkey_url, config=CacheConfig(sweep_seconds=0.2)) as sweeping:
        chat = sweeping.session("chat")
        await chat.append(said(0))
        async with tail(chat) as follower:
            await heat(chat)
            with valkey.admin as store:
                store.delete(record_of(valkey, "chat"))
            await follower.has(lambda told: told[-1].kind is DELETED)


async def test_store_away() -> None:
    """Short outages are survived in silence; a longer one is an error after a stated time."""
    with ValkeyServer(config={"appendonly": "yes", "appendfsync": "always"}) as server:
        config = CacheConfig(store_timeout_seconds=0.2, connect_timeout_seconds=0.2)
        async with open_cache(server.url, config=config) as cache:
            chat = cache.session("chat")
            await chat.append(said(0))
            async with tail(chat) as follower:
                server.kill()
                await asyncio.to_thread(server.start)

                async def append() -> bool:
                    try:
                        await chat.append(said(1), operation_id="one")
                    except StoreError:
                        return False
                    return True

                await until(append)
                await follower.has(lambda told: told[-1].next == 2)
                assert follower.seqs == [1]
                server.kill()
                with pytest.raises(StoreError):
                    async for _ in chat.follow(after=follower.told[-1].id, patience_seconds=0.1):
                        pass


async def test_closed(valkey_url: str) -> None:
    """Followers of a cache that is closed end with that error, though nothing more happens."""
    async with open_cache(valkey_url, config=CacheConfig(sweep_seconds=600)) as cache:
        chat = cache.session("chat")
        await chat.append(said(0))
        follower = Tail(chat)
        await follower.has(bool)
        await heat(chat)
        await chat.append(said(1))
        await follower.has(lambda told: told[-1].next == 2)
    with pytest.raises(CacheClosedError):
        await asyncio.wait_for(follower.task, WAIT_SECONDS)


async def test_follow_ends(chat: Session) -> None:
    """`follow` yields messages only: a delete ends it, an edit is an error."""
    await chat.append(said(0))
    page = await chat.recent(1)

    async def all_of_it() -> list[dict[str, object]]:
        return [message async for message in chat.follow(after=page)]

    following = asyncio.create_task(all_of_it())
    await chat.append(said(1))
    await chat.append(said(2))
    await chat.pop()
    with pytest.raises(TranscriptEditedError):
        await asyncio.wait_for(following, WAIT_SECONDS)
    page = await chat.recent(1)
    following = asyncio.create_task(all_of_it())
    await chat.delete()
    assert await asyncio.wait_for(following, WAIT_SECONDS) == []


async def test_refusals(valkey_url: str, chat: Session) -> None:
    """What cannot be followed is refused before anything is sent."""
    for wrong in ("", "x", "a.b.1.c/1", "a.b.1.c/1/-1", "a.b.1.c/1/1/1", "a.b.x.c", "-/1/1"):
        with pytest.raises(InvalidInputError):
            chat.events(after=wrong)
    async with open_cache(valkey_url, config=CacheConfig(near_cache_bytes=0)) as off:
        with pytest.raises(NearCacheOffError):
            off.session("chat").events()
