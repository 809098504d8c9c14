"""
What is used of other packages beyond their documentation, and whether it is there.

pyproject.toml holds these packages to the minor versions that were tried; this looks at the one
installed. Where it is not as it was, there is another way, and the log says so.
"""

import logging
from dataclasses import replace

from cachetools import Cache

from memory_cache._config import CacheConfig

_log = logging.getLogger("memory_cache")


class _Noted(Cache[str, int]):
    """Evicts the first in its line, and notes that it was asked to."""

    def __init__(self) -> None:
        super().__init__(3, getsizeof=abs)
        self.evicted: list[str] = []

    def popitem(self) -> tuple[str, int]:
        key = next(iter(self))
        self.evicted.append(key)
        return key, self.pop(key)


def evicts_in_order() -> bool:
    """Whether cachetools' `Cache` keeps what it holds in order, and evicts by our `popitem`."""
    cache = _Noted()
    try:
        for key in "abc":
            cache[key] = 1
        cache["a"] = cache.pop("a")
        cache["d"] = 2
        return (cache.evicted, list(cache), cache.currsize) == (["b", "c"], ["a", "d"], 3)
    except Exception:  # noqa: BLE001  # whatever it is, it is not as it was
        return False


def workable(config: CacheConfig) -> CacheConfig:
    """Return the configuration that can be had: without a near cache, if that could not evict."""
    if not config.near_cache_bytes or evicts_in_order():
        return config
    _log.warning(
        "cachetools does not evict by popitem, in the order of insertion: the near cache is off"
    )
    return replace(config, near_cache_bytes=0)
