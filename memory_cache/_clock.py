"""The system's clocks."""

import time


class SystemClock:
    """
    Seconds that also pass while the machine is suspended, and microseconds of the day.

    Linux has such a clock. Elsewhere the monotonic clock stands still during a suspend, so
    whatever the wall clock gained on it is added: a lease must not outlive a nap.
    """

    def __init__(self) -> None:
        """Begin without a gap."""
        self._boottime = getattr(time, "CLOCK_BOOTTIME", None)
        self._ahead = time.time() - time.monotonic()
        self._slept = 0.0

    def now(self) -> float:
        """Return seconds since some fixed moment."""
        if self._boottime is not None:
            return time.clock_gettime(self._boottime)
        monotonic = time.monotonic()
        ahead = time.time() - monotonic
        if ahead > self._ahead:
            self._slept += ahead - self._ahead
        self._ahead = ahead
        return monotonic + self._slept

    def wall(self) -> int:
        """Return microseconds since the epoch."""
        return time.time_ns() // 1000
