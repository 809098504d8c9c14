"""The driver's end of the workers: their processes, and requests to them."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from memory_cache.testing.faults.proxy import Proxy
from memory_cache.testing.faults.store import CannotRunError
from memory_cache.testing.faults.worker import Json, receive, send

WORKER: Final = (sys.executable, "-P", "-m", "memory_cache.testing.faults.worker")
_START_SECONDS: Final = 30.0


class GoneError(Exception):
    """The worker is gone; ``sent``: the request may have reached it."""

    def __init__(self, *, sent: bool) -> None:
        """Say whether the request had been sent."""
        super().__init__(sent)
        self.sent = sent


class Member:
    """One worker: its process, however often that was started, behind its own proxy."""

    def __init__(self, name: str, proxy: Proxy, command: Sequence[str], log: Path) -> None:
        """Nothing is started. ``command`` runs one; its arguments are added."""
        self.name = name
        self.proxy = proxy
        self.ready = asyncio.Event()
        self._command = command
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[int, asyncio.Future[Json]] = {}
        self._numbers = itertools.count()
        self._is_meant = False

    async def launch(self) -> None:
        """Start the process; ``ready`` tells when it answers."""
        self._is_meant = False
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt is for the driver, which ends it
            )

    @property
    def died(self) -> bool:
        """Whether the process has ended, and nobody ended it."""
        process = self._process
        return process is not None and process.returncode is not None and not self._is_meant

    @property
    def waiting(self) -> int:
        """How many requests are under way."""
        return len(self._answers)

    def kill_now(self) -> None:
        """Send SIGKILL at this very moment."""
        self._is_meant = True
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, if it lives."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it is being buried
                os.kill(self._process.pid, number)

    async def kill(self) -> None:
        """End it by SIGKILL."""
        self.kill_now()
        if self._process is not None:
            await self._process.wait()
        self.left()

    async def until_ready(self) -> None:
        """
        Wait until it answers.

        Raises:
            CannotRunError: it does not, though the store did.
        """
        try:
            await asyncio.wait_for(self.ready.wait(), _START_SECONDS)
        except TimeoutError as error:
            said = self._log.read_text(errors="replace")[-2000:]
            raise CannotRunError(f"worker {self.name} did not start:\n{said}") from error

    async def call(self, request: Json, patience: float, *, cancels: bool = True) -> Json:
        """
        Return the answer to a request; given up, it is cancelled over there if ``cancels``.

        Raises:
            GoneError: the worker is not there, or went.
            TimeoutError: the answer took longer than ``patience`` seconds.
        """
        if self._writer is None or self._writer.is_closing():
            raise GoneError(sent=False)
        number = next(self._numbers)
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        send(self._writer, {"id": number, **request})
        try:
            async with asyncio.timeout(patience):
                return await future
        finally:
            del self._answers[number]
            if not future.done() or future.cancelled():
                self._cancel(number, cancels=cancels)

    def _cancel(self, number: int, *, cancels: bool) -> None:
        if cancels and self._writer is not None:
            send(self._writer, {"cancel": number})

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take answers until the process ends."""
        self._writer = writer
        self.ready.set()
        try:
            while True:
                answer = await receive(reader)
                future = self._answers.get(answer["id"])
                if future is not None and not future.done():
                    future.set_result(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if self._writer is writer:
                self.left()

    def left(self) -> None:
        """Tell all who wait that the process is gone."""
        self._writer = None
        self.ready.clear()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(GoneError(sent=True))


@contextlib.asynccontextmanager
async def hired(
    count: int, store_port: int, folder: Path, command: Sequence[str], settings: Json
) -> AsyncIterator[list[Member]]:
    """
    Start so many workers, each behind a proxy of its own; all have ended after.

    Raises:
        CannotRunError: one did not start.
    """
    path = folder / "crew"
    members: dict[str, Member] = {}

    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            name = (await receive(reader))["hello"]
            await members[name].listen(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_unix_server(hello, path)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(server.close)
        for number in range(count):
            name = f"w{number}"
            proxy = Proxy(store_port)
            await proxy.open()
            stack.push_async_callback(proxy.aclose)
            url = f"redis://127.0.0.1:{proxy.port}"
            arguments = (str(path), name, url, json.dumps(settings))
            member = Member(name, proxy, (*command, *arguments), folder / f"{name}.log")
            members[name] = member
            stack.push_async_callback(member.kill)
            await member.launch()
        for member in members.values():
            await member.until_ready()
        yield list(members.values())
