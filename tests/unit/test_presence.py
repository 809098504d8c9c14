from typing import cast

from memory_cache import SessionKey, StoreError
from memory_cache._clock import SystemClock
from memory_cache._ports import Store
from memory_cache._presence import Presence
from memory_cache._stats import Counters
from unit.strategies import header

KEY = SessionKey("n", "u", "s")


class Index:
    """As much of a store as presence uses: it notes what was asked, and may refuse."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refuses = False

    async def touch(self, _key: SessionKey, _expires_ms: int | None) -> None:
        """Enter a session."""
        self.asked.append("touch")
        if self.refuses:
            raise StoreError("full")

    async def forget(self, _key: SessionKey) -> None:
        """Remove a session's entries."""
        self.asked.append("forget")


def presence(index: Index, most_bytes: int = 10_000) -> Presence:
    """A presence over this index, which notes activity once an hour."""
    return Presence(cast("Store", index), SystemClock(), 3600, most_bytes, Counters())


async def test_index_that_refuses_fails_no_change() -> None:
    """A change that was made is no error because the index did not take its note; it asks again."""
    index = Index()
    known = presence(index)
    index.refuses = True
    await known.changed(KEY, header(1))
    assert not known.known(KEY)
    await known.changed(KEY, header(2))
    await known.settle()
    assert index.asked == ["touch", "touch"]


async def test_activity_is_noted_now_and_then() -> None:
    """One incarnation is noted once in a while, and again when its time to live changes."""
    index = Index()
    known = presence(index)
    for num, ttl_ms in ((1, 0), (2, 0), (3, 5000), (4, 5000)):
        await known.changed(KEY, header(num)._replace(ttl_ms=ttl_ms))
    await known.settle()
    assert index.asked == ["touch", "touch"]


async def test_deleted_session_is_forgotten() -> None:
    """The entries of a session that was deleted are removed, and it is no longer known."""
    index = Index()
    known = presence(index)
    await known.changed(KEY, header(1))
    known.deleted(KEY)
    await known.settle()
    assert index.asked == ["touch", "forget"]
    assert not known.known(KEY)


async def test_names_keep_to_their_budget() -> None:
    """Long names push each other out; a name that is over the whole budget is not remembered."""
    index = Index()
    keys = [SessionKey("n" * 400, "u" * 400, f"{at}" * 400) for at in range(9)]
    known = presence(index, most_bytes=3 * 2300)
    for key in keys:
        await known.changed(key, header(1))
    assert [known.known(key) for key in keys] == [False] * 6 + [True] * 3
    known = presence(index, most_bytes=1000)
    await known.changed(keys[0], header(1))
    assert not known.known(keys[0])
