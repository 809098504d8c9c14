"""
Methods that are not awaited: in another thread, they wait for the event loop of the cache.

And threads for what that loop has done aside: it must not wait for those that wait for it.
"""

import asyncio
import concurrent.futures
import contextvars
import functools
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

_END: Final = object()
_ASIDE: Final = 2
"""Threads for work that keeps the interpreter busy: more would do no more of it."""


def wait(
    call: Callable[[], Coroutine[Any, Any, T]],
    loop: asyncio.AbstractEventLoop,
    seconds: float,
    awaited: str,
) -> T:
    """
    Make a call on a loop that runs in another thread, and return or raise what comes of it.

    Raises:
        TimeoutError: nothing has come of it in time. If the loop had not begun the call, it is
            never made; else it is cancelled. The text says which, and names ``awaited``.
    """
    begin = threading.Lock()  # Taken once: by the loop that begins the call, or by who gives up.

    async def begun() -> T:
        if not begin.acquire(blocking=False):
            raise asyncio.CancelledError
        return await call()

    future = asyncio.run_coroutine_threadsafe(begun(), loop)
    try:
        concurrent.futures.wait([future], seconds)
    finally:
        given_up = future.cancel()
    if not given_up:
        return future.result()
    never = begin.acquire(blocking=False)
    raise TimeoutError(
        f"the event loop of the cache gave no answer for {seconds:g} s, and the call was "
        + ("not made" if never else "cancelled: a change may be stored or not")
        + f". Perhaps that loop waits for this thread: use {awaited}"
    )


def each(
    items: AsyncIterator[T], loop: asyncio.AbstractEventLoop, seconds: float, awaited: str
) -> Iterator[T]:
    """Yield what another loop yields; each item is waited for as ``wait`` does."""

    async def following() -> object:
        return await anext(items, _END)

    while (item := wait(following, loop, seconds, awaited)) is not _END:
        yield cast("T", item)


async def aside(work: Callable[[], T]) -> T:
    """
    Do work that waits for nobody in a thread.

    Not in those of the event loop, as ``asyncio.to_thread``: all of them may be nodes of a graph
    that wait for this loop.
    """
    run = contextvars.copy_context().run
    return await asyncio.get_running_loop().run_in_executor(_pool(os.getpid()), run, work)


@functools.cache
def _pool(process: int) -> concurrent.futures.ThreadPoolExecutor:
    """Return the threads of a process: those of its parent are not there after a fork."""
    return concurrent.futures.ThreadPoolExecutor(_ASIDE, f"memory-cache-{process}")


def running_here() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
