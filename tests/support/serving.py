"""
The command `memory-cache`, run as a user would, in processes of its own.

Example:
    with ServerProcess("--data-dir", str(folder), cwd=folder) as server:
        httpx.get(server.url + "/v1/health")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from memory_cache_server.file_lock import take

T = TypeVar("T")

WAIT_SECONDS = 20.0
POLL_SECONDS = 0.01
OURS = re.compile(r"MEMORY_CACHE_|REDIS_URL$|PORT$|LOG_LEVEL$|AUTH|_AUTH")
COMMAND = (sys.executable, "-P", "-m", "memory_cache_server")


def environment(**more: str) -> dict[str, str]:
    """The environment of this process without settings of the server, and ``more``."""
    return {name: value for name, value in os.environ.items() if not OURS.match(name)} | more


def run(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *words],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


def wait_for(fact: Callable[[], T], what: str) -> T:
    """Wait until ``fact`` answers something true, and answer that."""
    give_up = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up:
        if found := fact():
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"waited {WAIT_SECONDS:.0f} s in vain: {what}")


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)],  # noqa: S607  found on the path everywhere
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return bool(state) and not state.startswith("Z")


def wait_for_end(pid: int) -> None:
    """Wait until a process that need not be our child has ended."""
    wait_for(lambda: not alive(pid), f"the end of process {pid}")


def end_valkey(data_dir: Path) -> None:
    """End the embedded Valkey of a data directory, should one live there."""
    lock = take(data_dir / "valkey.lock") if data_dir.is_dir() else None
    if lock is not None:
        lock.close()
    elif (pid := data_dir / "valkey.pid").is_file():
        os.kill(int(pid.read_text()), signal.SIGKILL)


class ServerProcess:
    """One `memory-cache serve`, ready inside the `with`; ended by SIGKILL if it still runs."""

    def __init__(self, *words: str, cwd: Path, **variables: str) -> None:
        self._log = (cwd / f"log-{time.monotonic_ns()}").open("w+")
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", *words],
            cwd=cwd,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            process_group=0,
        )
        self.url = ""

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            self.close()
            raise AssertionError(self.log())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def log(self) -> str:
        """What it has written to standard error."""
        return Path(self._log.name).read_text()

    def workers(self) -> list[int]:
        """Process ids of the workers that became ready, oldest first."""
        return [int(pid) for pid in re.findall(r"worker (\d+) is ready", self.log())]

    def valkeys(self) -> list[int]:
        """Process ids of the Valkeys that it started or adopted, oldest first."""
        return [int(pid) for pid in re.findall(r"Valkey (\d+) (?:started|adopted)", self.log())]

    def kill_group(self) -> None:
        """End the parent, and all that a terminal or a shell would end with it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the parent process."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end of the parent process; its exit code."""
        return self.process.wait(WAIT_SECONDS)

    def rest_of_stdout(self) -> str:
        """What came on standard output after the URL, once it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def close(self) -> None:
        """End it at once; its workers follow by themselves."""
        workers = self.workers()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        for pid in workers:
            wait_for_end(pid)
        self._log.close()
