"""One log for all processes of the server: standard error, a line per event, with the pid."""

import logging
import math
import sys
import time
from collections.abc import Callable
from typing import Final

SELDOM_SECONDS: Final = 60.0


class Seldom:
    """A warning that clients can cause: once a minute at most, then with how often it was due."""

    def __init__(
        self, log: logging.Logger, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._what = what
        self._clock = clock
        self._next = -math.inf
        self._left_out = 0

    def __call__(self) -> None:
        """Warn, or count."""
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        more = f" ({self._left_out} more since the last such line)" if self._left_out else ""
        self._log.warning("%s%s", self._what, more)
        self._next = now + SELDOM_SECONDS
        self._left_out = 0


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
