"""
A process beside the worker, for what would hold up its event loop.

Parsing a transcript of megabytes takes tens of milliseconds in calls that let nobody else run.
The process is started when the first such body comes, which the worker still parses itself; if
it cannot be had, the worker goes on doing so.
"""

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

LONG_BODY: Final = 256 * 1024
"""Shorter ones are parsed in the worker: in some 2 ms."""


class Offload:
    """Runs functions in the other process, as soon as there is one."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._ready = False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """
        Return what the function returns; None: there is no process yet, or no more.

        Cancelled: it is run to its end, for nobody.

        Raises:
            Exception: whatever the function raises.
        """
        if not self._ready or self._pool is None:
            self._start()
            return None
        assert not kwargs, "arguments go by position"
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, function, *args)
        except BrokenProcessPool:
            _log.warning("the process beside the worker is gone; another one is started")
            self._pool, self._ready = None, False
            return None

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _start(self) -> None:
        if self._pool is None:
            # Not forked: the worker has threads and an event loop.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=_end_with_parent)
            self._pool.submit(os.getpid).add_done_callback(self._started)

    def _started(self, done: "Future[int]") -> None:
        self._ready = not done.cancelled() and done.exception() is None


def _end_with_parent() -> None:
    """A worker that is killed cannot end its processes, and they would wait for it for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
