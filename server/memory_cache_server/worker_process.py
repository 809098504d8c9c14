"""A worker's process, as the supervisor sees it; and spare ones, for the place of one that ends."""

import asyncio
import contextlib
import logging
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process

from memory_cache_server.settings import Settings

# How long after a worker was started a spare one is: the worker and its clients come first.
SPARE_SECONDS = 2.0

_log = logging.getLogger(__name__)


class ServeError(Exception):
    """The server cannot serve; says why."""


class Worker:
    """One worker process, from its start to its end; until its order comes it is a spare one."""

    def __init__(self, process: Process, listener: socket.socket) -> None:
        self.serving = False
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
        """Order it to serve, and wait until it does; `ServeError` with its words if it cannot."""
        order = (
            f'{{"settings":{settings.model_dump_json()},"listener":{self._listener.fileno()}}}\n'
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._since = time.monotonic()
        self._process.stdin.write(order.encode())
        said = (await self._process.stdout.readline()).decode(errors="replace").strip()
        if said != "ready":
            ended = await self.ended()
            raise ServeError(said.removeprefix("error ") or f"worker {self.pid} ended ({ended})")
        self.serving = True

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
