"""The index's look-ups, while others change what is looked through."""

from typing import Any

import pytest

from memory_cache import SessionKey, open_cache
from memory_cache._redis.lane import Lane
from support.valkey import ValkeyServer

WANTED = SessionKey("n", "u", "main")


@pytest.mark.parametrize("change", ["moves", "others go"])
async def test_nothing_hides_meanwhile(
    valkey: ValkeyServer, valkey_url: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A session is found though it becomes active, or others before it go, between two slices."""
    passed = {f"m/u{at}/main": at for at in range(200)}
    with valkey.admin as client:
        client.zadd("mc:id:main", {**passed, "n/u/main": 150.5})
        client.zadd("mc:active:n:n", {f"n/u{at}/s": at for at in range(300)})
        client.hset("mc:{n/u/main}", "h", "of any form")
        slices = list[Any]()
        call = Lane.call

        async def changing(self: Lane, *command: Any, **rest: Any) -> Any:  # noqa: ANN401  # as theirs
            reply = await call(self, *command, **rest)
            if command[:2] == ("ZRANGEBYSCORE", "mc:id:main"):
                slices.append(reply)
                if change == "moves":
                    client.zadd("mc:id:main", {"n/u/main": 1000})
                else:
                    client.zremrangebyscore("mc:id:main", 0, 30)
            return reply

        monkeypatch.setattr(Lane, "call", changing)
        async with open_cache(valkey_url) as cache:
            assert await cache.find("main", namespace="n", limit=2) == (WANTED,)
        assert len(slices) > 1
