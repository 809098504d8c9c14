"""What no page shows: blocks as the store has them, and the edits that it gets."""

from typing import Any, Final

import pytest

from memory_cache import Page, Session, SessionKey
from memory_cache._blocks import digest
from memory_cache._events import MOST_EVENTS, Place
from memory_cache._listener import Listener
from memory_cache._near import NearCache
from memory_cache._ports import Outcome, Rewrite
from memory_cache._redis import lane
from memory_cache._redis.bus import RedisBus
from memory_cache._redis.store import RedisStore
from memory_cache._types import BLOCK

MOST_TOLD = MOST_EVENTS
"""Messages that a follower is told of at a time."""


CALLED_BY_PARTS: Final[dict[str, tuple[object, str]]] = {
    "bus": (NearCache, "heard"),
    "heartbeat": (Listener, "_renew"),
    "sweep": (RedisStore, "list_sessions"),
    "fence": (RedisBus, "fence"),
    "index": (RedisStore, "forget"),
}
"""Something that each part which runs in the background calls: what it is of, and its name."""

CALLED_BY_LANE: Final[tuple[object, str]] = (lane, "pack")


def some_place() -> Place:
    """A place of an event, where it does not matter which."""
    return Place(None)


async def assert_blocks(session: Session, whole: Page) -> None:
    """Each sealed block knows the largest created_at before it, and is what its digest says."""
    assert whole.header is not None
    numbers = range(whole.first // BLOCK, whole.next // BLOCK)
    blocks = await session._writer.store.blocks(session.key, numbers, whole.header)
    assert blocks is not None
    newest = blocks[numbers[0]].max_before if numbers else 0
    for number in numbers:
        assert blocks[number].max_before == newest
        assert blocks[number].digest in {b"", digest(blocks[number].bodies)}
        metas = [message.meta for message in blocks[number].messages()]
        assert bool(blocks[number].digest) == all(meta.own_view for meta in metas)
        newest = max(newest, *(meta.created_at for meta in metas))


def edits_of_stores(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The names of the fields that each edit writes, from now on; the store goes on as ever."""
    edits: list[set[str]] = []
    rewrite = RedisStore.rewrite

    async def noted(self: RedisStore, key: SessionKey, change: Rewrite, *rest: Any) -> Outcome:  # noqa: ANN401  # handed on
        edits.append({name for name, _ in change.pairs})
        return await rewrite(self, key, change, *rest)

    monkeypatch.setattr(RedisStore, "rewrite", noted)
    return edits
