"""What a worker holds beyond what a cache needs of which nobody asks anything."""

import asyncio
import inspect
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

from memory_cache import SessionCache
from memory_cache._background import kept

_LASTING: Final = Counter(
    {
        "Listener._listen": 1,
        "_Subscription._read": 1,
        "_Subscription._write": 1,
        "Listener._beat": 1,
        "Listener._sweep": 1,
        "Lane._run": 2,
        "Lane._read": 2,
        "Lane._write": 2,
        "Lane._watch": 2,
    }
)
"""Tasks of a cache that is open, by what they run."""

_CONNECTIONS: Final = 3
"""Two lanes, and the subscription."""

_SOCKETS: Final = 2
"""What the event loop wakes itself by."""

_DESCRIPTORS: Final = Path("/proc/self/fd")


def held(cache: SessionCache, own_tasks: Counter[str], own_sockets: int) -> dict[str, int]:
    """
    Return tasks, sockets and waiters that there are too many of; of a cache at rest, none.

    ``own_tasks``, ``own_sockets``: what the program has beside the cache. What goes on in the
    background now and then, such as a fence, counts while it does.
    """
    stand = defaultdict[str, set[str]](set)
    tasks = Counter[str]()
    for task in asyncio.all_tasks():
        name = _running(task)
        tasks[name] += 1
        stand[name].add(_standing(task))
    many = tasks - _LASTING - own_tasks
    found = Counter({f"{name} in {', '.join(sorted(stand[name]))}": many[name] for name in many})
    found["sockets"] = max(0, sockets() - _CONNECTIONS - _SOCKETS - own_sockets)
    found["waiters"] = len(cache._parts.near.waiters)  # noqa: SLF001  # it has no public name
    return dict(+found)


def _running(task: "asyncio.Task[object]") -> str:
    """Return the name of what a task runs; of one that is begun again if it crashes, of that."""
    outer: object = task.get_coro()
    inner = getattr(outer, "cr_await", None)
    is_kept = getattr(outer, "__qualname__", "") == kept.__qualname__
    return getattr(inner if is_kept else outer, "__qualname__", "?")


def _standing(task: "asyncio.Task[object]") -> str:
    """Return the name of the function in which a task waits, for who wants to know for what."""
    inner: object = task.get_coro()
    while inspect.iscoroutine(waited := getattr(inner, "cr_await", None)):
        inner = waited
    return getattr(inner, "__qualname__", "?")


def sockets() -> int:
    """Return how many sockets this process has open; 0 where the system does not tell."""
    if not _DESCRIPTORS.is_dir():
        return 0
    count = 0
    for descriptor in _DESCRIPTORS.iterdir():
        try:
            count += descriptor.readlink().name.startswith("socket:")
        except OSError:
            # The one by which the folder was listed.
            continue
    return count
