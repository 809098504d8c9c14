"""A worker's process, as the supervisor sees it; and spare ones, for the place of one that ends."""

import asyncio
import contextlib
import json
import logging
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process

from memory_cache_server.settings import Settings, flag_name

# How long after a worker was started a spare one is: the worker and its clients come first.
SPARE_SECONDS = 2.0
# Steps in which a silence is counted; a worker gives two signs of life in each.
STEPS = 10

_log = logging.getLogger(__name__)


class ServeError(Exception):
    """The server cannot serve; says why."""


class Worker:
    """One worker process, from its start to its end; until its order comes it is a spare one."""

    def __init__(self, process: Process, listener: socket.socket) -> None:
        self.serving = False
        self._heard = False
        self._hearing: asyncio.Task[None] | None = None
        self._process = process
        self._listener = listener
        self._since = time.monotonic()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def spawn(cls, listener: socket.socket) -> "Worker":
        """Start the process; it loads what it needs, and waits for its order."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing in the working directory is to replace a module
            "-m",
            "memory_cache_server.worker",
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=[listener.fileno()],
            process_group=0,  # the terminal's Ctrl-C is for us to pass on
        )
        return cls(process, listener)

    async def serve(self, settings: Settings) -> None:
        """
        Order it to serve, and wait until it does.

        Raises `ServeError` with its words if it cannot, or if it does not come up in time: then
        it is killed.
        """
        order = {
            "settings": settings.model_dump(mode="json"),
            "listener": self._listener.fileno(),
            "beat_seconds": settings.worker_stall_seconds / STEPS / 2,
        }
        assert self._process.stdin is not None
        self._since = time.monotonic()
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        said = await self._first_word(settings.worker_start_seconds)
        if said is None:
            self.kill()
            await self.ended()
            raise ServeError(
                f"worker {self.pid} did not come up in {settings.worker_start_seconds:g} seconds"
                " and was killed: if the machine is only slow, give it longer with"
                f" {flag_name('worker_start_seconds')}"
            )
        if said != "ready":
            ended = await self.ended()
            raise ServeError(said.removeprefix("error ") or f"worker {self.pid} ended ({ended})")
        self.serving = True
        self._hearing = asyncio.create_task(self._hear())

    async def lived(self, stall_seconds: float) -> int:
        """
        Wait for its end, as `ended`.

        Once it gives no sign of life for ``stall_seconds`` it is killed; 0: it is not.
        """
        if not stall_seconds:
            return await self.ended()
        ended = asyncio.create_task(self.ended())
        stalled = asyncio.create_task(self._silent(stall_seconds))
        try:
            await asyncio.wait((ended, stalled), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                _log.error("worker %d gave no sign of life for %g s", self.pid, stall_seconds)
                self.kill()
            return await ended
        finally:
            ended.cancel()
            stalled.cancel()

    async def ended(self) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        code = await self._process.wait()
        self.serving = False
        return code

    def alive(self) -> bool:
        """Whether its end was not noticed yet."""
        return self._process.returncode is None

    def lived_seconds(self) -> float:
        """Seconds since its order."""
        return time.monotonic() - self._since

    def finish(self) -> None:
        """Order it to finish what is in flight and end: it sees the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _first_word(self, seconds: float) -> str | None:
        """Return what it says to its order; None: nothing for so long."""
        assert self._process.stdout is not None
        line = asyncio.create_task(self._process.stdout.readline())
        late = asyncio.create_task(self._silent(seconds))
        try:
            await asyncio.wait((line, late), return_when=asyncio.FIRST_COMPLETED)
            return line.result().decode(errors="replace").strip() if line.done() else None
        finally:
            line.cancel()
            late.cancel()

    async def _hear(self) -> None:
        assert self._process.stdout is not None
        while await self._process.stdout.read(1024):
            self._heard = True

    async def _silent(self, seconds: float) -> None:
        """
        Wait until nothing was heard of it for so long.

        Counted in steps that this process was there for: while it stands still itself, with the
        machine or alone, it hears nobody.
        """
        quiet = 0
        while quiet < STEPS:
            self._heard = False
            await asyncio.sleep(seconds / STEPS)
            quiet = 0 if self._heard else quiet + 1


class Spares:
    """Processes that have loaded all a worker needs, for the place of one that ends."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting: list[Worker] = []
        self._taken = asyncio.Event()

    async def keep(self, listener: socket.socket) -> None:
        """Start what is missing, for ever."""
        while True:
            self._taken.clear()
            while len(self._waiting) < self._count:
                await asyncio.sleep(SPARE_SECONDS)
                try:
                    self._waiting.append(await Worker.spawn(listener))
                except OSError as error:
                    _log.warning("no spare worker: %s", error.strerror)
            await self._taken.wait()

    def take(self) -> Worker | None:
        """Return one, if there is one."""
        self._taken.set()
        while self._waiting:
            worker = self._waiting.pop(0)
            if worker.alive():
                return worker
        return None

    async def end(self) -> None:
        """End them: they have nothing to finish."""
        for worker in self._waiting:
            worker.kill()
            await worker.ended()
