"""Ending tasks of our own, for certain."""

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any, Final

_log = logging.getLogger("memory_cache")

_PATIENCE_SECONDS: Final = 1.0


async def end(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """
    Cancel tasks and wait until they are done.

    A cancellation can be lost in code that is not ours: a timeout that ends in the same turn of
    the loop may swallow it. Then it is sent again.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_PATIENCE_SECONDS)
        for task in pending:
            _log.warning("%s did not end when it was cancelled; again", task.get_name())


async def to_the_end(call: Coroutine[Any, Any, None]) -> None:
    """Run a call to its end; cancelled meanwhile, go on being cancelled after that."""
    task = asyncio.ensure_future(call)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
