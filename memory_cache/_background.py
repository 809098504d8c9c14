"""
What runs in the background for as long as a cache is open, and what becomes of it if it crashes.

A crash is an exception that nothing expects: a bug of ours. It must not show in answers, so each
part is written such that without it nothing wrong is said: without fences the lease lapses and
reads go to the store, without a subscription nothing is answered from memory. The crash is
counted, logged with its traceback the first time, and the part is begun again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from memory_cache._stats import Counters

_log = logging.getLogger("memory_cache")

_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds from one crash after another until the part is begun again."""

_STABLE_SECONDS: Final = 10.0
"""A part that ran for so long begins the pauses anew."""


def crashed(counters: Counters, part: str, error: BaseException) -> None:
    """Count a crash of a part, and log it if it is the first of its kind there."""
    kind = f"{part}: {type(error).__name__}"
    counters.crashes[kind] += 1
    if counters.crashes[kind] == 1:
        _log.error(
            "%s crashed, which is a bug of memory-cache: it is begun again, and such crashes are"
            " only counted from now on (`crashes` in the statistics)",
            part,
            exc_info=error,
        )


async def kept(part: str, run: Callable[[], Awaitable[None]], counters: Counters) -> None:
    """Run a part until this is cancelled; begin it again whenever it ends by itself."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    failures = 0
    while True:
        began = loop.time()
        try:
            await run()
        except asyncio.CancelledError as stray:
            # It may come from a future that somebody else cancelled.
            if task is not None and task.cancelling():
                raise
            crashed(counters, part, stray)
        except Exception as error:  # noqa: BLE001  # whatever it is, the part is to go on
            crashed(counters, part, error)
        if loop.time() - began >= _STABLE_SECONDS:
            failures = 0
        await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
        failures += 1
