import pytest

from memory_cache import CacheConfig, SessionCache, TooLargeError, open_cache
from support.values import nested


async def test_limit_of_its_own(cache: SessionCache, valkey_url: str) -> None:
    """A handle for large messages takes what others refuse, up to a limit of its own."""
    plain, large = cache.session("s"), cache.session("s").large()
    message = {"text": "x" * (3 * 2**20)}
    with pytest.raises(TooLargeError):
        await plain.append(message)
    await large.append(message)
    await large.set_fields({"state": "x" * (5 * 2**20)})
    assert (await plain.transcript()).messages == [message]
    config = CacheConfig(max_large_bytes=2 * 2**20, max_fields_bytes=100, max_depth=8)
    async with open_cache(valkey_url, config=config) as small:
        handle = small.session("t").large()
        with pytest.raises(TooLargeError):
            await handle.append(message)
        await handle.replace([{"text": "x" * 2**20, "deep": nested(62)}], {"a": "x" * 200})
        with pytest.raises(TooLargeError):
            await handle.set_fields({"b": "x" * (2 * 2**20)})
