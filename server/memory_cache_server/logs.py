"""One log for all processes of the server: standard error, a line per event, with the pid."""

import logging
import sys
import time
from typing import Final

SELDOM_SECONDS: Final = 60.0


class Seldom:
    """A warning that clients can cause, so once a minute at most; it says how often it was due."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._due = 0
        self._next = 0.0

    def __call__(self) -> None:
        """Warn, or count."""
        self._due += 1
        now = time.monotonic()
        if now >= self._next:
            self._log.warning("%s (%d times since this was last said)", self._what, self._due)
            self._due = 0
            self._next = now + SELDOM_SECONDS


def configure(level: str) -> None:
    """Send the log of this process to standard error, from ``level`` (a name) upwards."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s [%(process)d] %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
