from collections.abc import Callable, Iterator

import hiredis
import pytest
from cachetools import Cache
from hypothesis import given
from hypothesis import strategies as st

from memory_cache import CacheConfig
from memory_cache._hooks import evicts_in_order, workable
from memory_cache._redis.packing import pack, pack_slowly, packer

ARGUMENTS = (
    st.binary()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)


def test_all_is_there() -> None:
    """The packages that are installed do what they did: nothing is done without them."""
    config = CacheConfig()
    assert workable(config) is config
    assert pack is hiredis.pack_command


def without_popitem(self: Cache[str, int], key: str, value: int) -> None:
    """Evict, but not by `popitem`."""
    while len(self) >= self.maxsize:
        del self[next(iter(self))]
    setting(self, key, value)


setting = Cache.__setitem__


def backwards(self: Cache[str, int]) -> Iterator[str]:
    """Go over what is held from its end."""
    return iter(sorted(walking(self), reverse=True))


walking = Cache.__iter__


@pytest.mark.parametrize(
    ("name", "other"), [("__setitem__", without_popitem), ("__iter__", backwards)]
)
def test_cache_that_evicts_otherwise(
    name: str,
    other: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without eviction as it was there is no near cache, and the log says so."""
    monkeypatch.setattr(Cache, name, other)
    assert not evicts_in_order()
    assert workable(CacheConfig(ring_messages=7)) == CacheConfig(
        ring_messages=7, near_cache_bytes=0
    )
    assert "the near cache is off" in caplog.text
    caplog.clear()
    assert workable(CacheConfig(near_cache_bytes=0)).near_cache_bytes == 0
    assert caplog.text == ""


@pytest.mark.parametrize("theirs", [None, lambda: b"", lambda command: pack_slowly(command[:-1])])
def test_other_packing(theirs: object) -> None:
    """A function that is not there, takes something else or gives it is not used."""
    assert packer(theirs) is pack_slowly


@given(st.lists(ARGUMENTS, min_size=1, max_size=5).map(tuple))
def test_both_pack_alike(command: tuple[bytes | str | int | float, ...]) -> None:
    """A command is the same bytes, whoever packs it."""
    assert pack_slowly(command) == pack(command)
