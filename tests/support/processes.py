"""The processes that a test starts, so that none of them outlives it."""

import contextlib
import os
import signal
from pathlib import Path


def children() -> set[int]:
    """Process ids of the children of this process; none where the system has no `/proc`."""
    found: set[int] = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found.update(map(int, listed.read_text().split()))
    return found


def end(pid: int) -> str:
    """Kill a child and reap it; returns its command line."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # whoever started it has reaped it
        os.waitpid(pid, 0)
    return command
