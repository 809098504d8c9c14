"""The processes that a test starts, so that none of them outlives it."""

import contextlib
import os
import signal
import time
from pathlib import Path

END_SECONDS = 10.0
POLL_SECONDS = 0.01


def children() -> set[int]:
    """Process ids of the children of this process that run; none if the system has no `/proc`."""
    found: set[int] = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found.update(map(int, listed.read_text().split()))
    return set(filter(_runs, found))


def left_since(before: set[int]) -> set[int]:
    """Children that are none of those before, and do not end by themselves in good time."""
    give_up = time.monotonic() + END_SECONDS
    while (left := children() - before) and time.monotonic() < give_up:
        time.sleep(POLL_SECONDS)
    return left


def end(pid: int) -> str:
    """Kill a child and reap it; returns its command line, or nothing if it has just ended."""
    command = b""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # whoever started it has reaped it
        os.waitpid(pid, 0)
    return command.replace(b"\0", b" ").decode(errors="replace")


def _runs(pid: int) -> bool:
    """Whether it runs: one that has ended waits for whoever started it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
