"""Reads of megabytes while others write."""

import pytest

from library.test_big_changes import large, weighed
from memory_cache import open_cache
from support.valkey import ValkeyServer


@pytest.mark.parametrize("held", [12, 40, 61, 62, 63, 100])
async def test_large_block_that_grows_while_it_is_read(valkey: ValkeyServer, held: int) -> None:
    """What others append between the commands of a read, to the very block, does not break it."""
    async with weighed(valkey) as (scale, cache), open_cache(valkey.url) as other:
        chat, theirs, want = cache.session("chat"), other.session("chat"), large(0, held, 100_000)
        await theirs.append(want)

        async def grow(_: int) -> None:
            more = large(len(want), 1, 100_000)
            await theirs.append(more)
            want.extend(more)

        await chat.recent(1)
        scale.on_slice, scale.least = grow, 0
        for read in (
            chat.recent(50),
            chat.page(after=3, limit=20),
            chat.page(after=None, before=held, limit=20),
            chat.transcript(),
        ):
            before = len(want)
            page = await read
            assert len(want) > before + 1, "nothing was appended amid the read"
            assert page.next > before
            assert page.messages == want[page.start : page.end]
