"""
A process beside the worker, for what would hold up its event loop.

Parsing a transcript of megabytes takes tens of milliseconds in calls that let nobody else run.
The process takes a second to start, so `start` it early; a body that comes before it is ready
waits for it. If it cannot be had, the worker parses itself.
"""

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

LONG_BODY: Final = 256 * 1024
"""Shorter ones are parsed in the worker: in some 2 ms."""

GROWING_BODY: Final = 64 * 1024
"""Where bodies are as long as this, long ones will follow: time to start the process."""


class Offload:
    """Runs functions in the other process."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._pool: ProcessPoolExecutor | None = None

    def start(self) -> None:
        """Start the process, unless it runs; nobody waits for it here."""
        if self._pool is None:
            # Not forked: the worker has threads and an event loop.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=_end_with_parent)
            try:
                # The process is not made before there is something to do.
                self._pool.submit(os.getpid)
            except OSError as error:
                _log.warning("there is no process beside the worker: %s", error)
                self.close()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """
        Return what the function returns; None: there is no process, it could not be had or died.

        Cancelled: it is run to its end, for nobody.

        Raises:
            Exception: whatever the function raises.
        """
        assert not kwargs, "arguments go by position"
        self.start()
        pool = self._pool
        if pool is None:
            return None
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *args)
        except BrokenProcessPool:
            _log.warning("the process beside the worker is gone; another one is started")
            if self._pool is pool:
                self._pool = None
            return None

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _end_with_parent() -> None:
    """A worker that is killed cannot end its processes, and they would wait for it for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
