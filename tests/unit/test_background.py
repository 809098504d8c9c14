"""Parts that run in the background, and how they end."""

import asyncio

import pytest

from memory_cache._background import kept
from memory_cache._stats import Counters


async def test_stray_cancellation() -> None:
    """A cancellation that is not of the task itself, as of a future, does not end it."""
    counters, runs, waits = Counters(), 0, asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if runs < 3:
            future.cancel()
        else:
            waits.set()
        await future

    task = asyncio.create_task(kept("part", run, counters))
    await asyncio.wait_for(waits.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counters.crashes == {"part: CancelledError": 2}
