"""Signals to a process that need not be our child, and to no other that got its id."""

import contextlib
import os
import signal
import sys


class ProcessHandle:
    """
    A process, for as long as this is open; a process id alone may come to mean another one.

    Where the system has no handles (pidfd, of Linux 5.3) it is the id after all: then see right
    before a signal that the process lives.
    """

    def __init__(self, pid: int) -> None:
        """Open it while it is known to live. OSError if there is no such process."""
        self.pid = pid
        self._descriptor: int | None = None
        if sys.platform == "linux":
            try:
                self._descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                raise
            except OSError:  # forbidden, or an older kernel
                return

    def send(self, number: signal.Signals) -> None:
        """Send a signal, to nobody if it has ended. OSError if we may not."""
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "linux" and self._descriptor is not None:
                signal.pidfd_send_signal(self._descriptor, number)
            else:
                os.kill(self.pid, number)

    def close(self) -> None:
        """Let it go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
