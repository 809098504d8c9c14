"""Which channels are open: of what is held, and of what is followed."""

from library.helpers import check, heat, said, several, until
from library.tails import tail
from memory_cache import CacheConfig, SessionCache, SessionEventKind, open_cache
from support.valkey import ValkeyServer


async def test_what_does_not_exist_leaves_no_channel(
    valkey: ValkeyServer, cache: SessionCache, other_cache: SessionCache
) -> None:
    """Asking for sessions that do not exist leaves no channels; one made then is hot soon."""
    names = [f"chat{at}" for at in range(50)]
    for name in names:
        assert not (await cache.session(name).recent(1)).exists
    await until(lambda: open_are(valkey, 0))
    assert cache.statistics().sessions_held == 0
    chat = cache.session("chat7")
    await other_cache.session("chat7").append(several(0, 3))
    await heat(chat)
    await other_cache.session("chat7").append(said(3))
    await check(chat, several(0, 4))
    await until(lambda: open_are(valkey, 1))


async def test_followers_keep_theirs(
    valkey: ValkeyServer, cache: SessionCache, other_cache: SessionCache
) -> None:
    """Of a session that does not exist yet the channel is open while somebody follows it."""
    async with tail(cache.session("chat")) as first:
        async with tail(cache.session("chat")):
            await until(lambda: open_are(valkey, 1))
        for at in range(20):
            await cache.session(f"other{at}").recent(1)
        await until(lambda: open_are(valkey, 1))
        await other_cache.session("chat").append(said(0))
        await first.has(lambda told: told[-1].next == 1)
        await other_cache.session("chat").delete()
        await first.has(lambda told: told[-1].kind is SessionEventKind.DELETED)
    await until(lambda: open_are(valkey, 0))


async def test_evicted_sessions_close_theirs(valkey: ValkeyServer, valkey_url: str) -> None:
    """There are no more channels than sessions held, however many were read."""
    async with open_cache(valkey_url, config=CacheConfig(near_cache_bytes=30_000)) as small:
        for at in range(40):
            chat = small.session(f"chat{at}")
            await chat.append(said(0))
            await heat(chat)
        held = small.statistics().sessions_held
        assert 0 < held < 20
        await until(lambda: open_are(valkey, held))
        await heat(small.session("chat0"))
        await check(small.session("chat0"), [said(0)])


async def open_are(valkey: ValkeyServer, count: int) -> bool:
    """Whether there are so many channels of sessions."""
    with valkey.admin as client:
        return sum(b"fence:" not in name for name in client.pubsub_channels()) == count
