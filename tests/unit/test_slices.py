"""Reads of blocks in slices, at moments that a session seldom meets."""

from memory_cache import open_cache


async def test_active_block_that_was_sealed_since(valkey_url: str) -> None:
    """A block that was active in the reader's version, and is sealed by now, is no damage."""
    async with open_cache(valkey_url) as cache:
        chat, store = cache.session("s"), cache._parts.store
        await chat.append([{"n": at} for at in range(100)])
        span = await store.tail(chat.key, 0)
        assert span is not None
        before = await store.blocks(chat.key, [0, 1], span.header)
        assert before is not None
        await chat.append([{"n": at} for at in range(100, 130)])
        assert await store.blocks(chat.key, [0, 1], span.header) is None
        assert await store.blocks(chat.key, [0], span.header) == {0: before[0]}
