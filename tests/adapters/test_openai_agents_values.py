import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("agents")

from agents.memory import SQLiteSession

from memory_cache import CacheConfig, InvalidInputError, SessionCache, TooLargeError, open_cache
from memory_cache.adapters.openai_agents import MemoryCacheSession
from support.agents_sdk import as_items
from support.valkey import ValkeyServer
from support.values import CARRIED, JSON, LONG, TEXT, exact, nested

ITEM = st.dictionaries(TEXT | st.sampled_from(["role", CARRIED]), JSON, max_size=3)


@settings(max_examples=60)
@given(st.lists(ITEM, min_size=1, max_size=3), st.sampled_from([0, 100]))
def test_as_the_sdk_s_own(valkey: ValkeyServer, items: list[dict[str, Any]], levels: int) -> None:
    """Every item that the SDK's SQLite session keeps comes back as it was given."""
    sent = as_items([*items, {"output": nested(levels, items)}])

    async def check() -> None:
        reference = SQLiteSession("s")
        await reference.add_items(sent)
        async with open_cache(valkey.url) as cache:
            session = MemoryCacheSession(uuid4().hex, cache)
            await session.add_items(sent)
            found = await session.get_items()
            assert exact(found) == exact(await session.get_items(len(sent))) == exact(sent)
            # What theirs makes of two halves that follow each other is one character.
            theirs = await reference.get_items()
            assert exact(json.loads(json.dumps(found))) == exact(theirs)
            assert exact(await session.pop_item()) == exact(sent[-1])
        reference.close()

    asyncio.run(check())


async def test_keys_that_are_no_text(cache: SessionCache) -> None:
    """Keys become text as in the SDK's own sessions."""
    session = MemoryCacheSession("s", cache)
    await session.add_items(as_items([{"output": {1: "a", None: (2, 3)}}]))
    want = {"output": {"1": "a", "null": [2, 3]}}
    assert exact(await session.get_items()) == exact([want])


async def test_large_items(cache: SessionCache, other_cache: SessionCache) -> None:
    """Items of more than a megabyte are kept, among others, on any worker."""
    items = as_items([{"output": LONG}, {"role": "user"}, {"output": [LONG, 10**21]}])
    await MemoryCacheSession("s", cache).add_items(items)
    for worker in (cache, other_cache):
        for _ in range(2):
            assert await MemoryCacheSession("s", worker).get_items(2) == items[1:]
        assert await MemoryCacheSession("s", worker).get_items() == items


@pytest.mark.parametrize(
    ("wrong", "error"), [({1, 2}, InvalidInputError), ("x" * 2**20, TooLargeError)]
)
async def test_refused_with_all(valkey_url: str, wrong: object, error: type[Exception]) -> None:
    """An item that no JSON is made of, or over the limit, is refused with those beside it."""
    config = CacheConfig(max_large_bytes=2**20, max_message_bytes=2**20)
    async with open_cache(valkey_url, config=config) as cache:
        session = MemoryCacheSession("s", cache)
        with pytest.raises(error, match=r"\[1\]"):
            await session.add_items(as_items([{"role": "user"}, {"output": wrong}]))
        assert await session.get_items() == []
