"""A clock that is moved by hand, and an event loop that lives by it."""

import asyncio
import selectors
from typing import Final

_MICROSECONDS: Final = 1_000_000


class ManualClock:
    """Implements the ``Clock`` port: time passes when told to."""

    def __init__(self, wall: int = 1_700_000_000 * _MICROSECONDS) -> None:
        """Begin at ``wall``, in microseconds since the epoch."""
        self._began = wall
        self._now = 0.0

    def now(self) -> float:
        """Return seconds since the clock was made."""
        return self._now

    def wall(self) -> int:
        """Return microseconds since the epoch."""
        return self.wall_at(self._now)

    def wall_at(self, now: float) -> int:
        """Return what ``wall`` is at the time ``now``."""
        return self._began + round(now * _MICROSECONDS)

    def advance(self, seconds: float) -> None:
        """Let time pass all at once, as a suspended machine does: no timer runs in between."""
        self._now += seconds


class ManualLoop(asyncio.SelectorEventLoop):
    """
    An event loop whose time is a ``ManualClock``.

    Where nothing is left to do, the clock jumps to the next timer, so a sleep takes no time
    and a run is the same each time. Use it as ``asyncio.Runner(loop_factory=...)``. It has no
    I/O: a loop in which everybody waits, and no timer runs, raises RuntimeError.
    """

    def __init__(self, clock: ManualClock) -> None:
        """Live by this clock."""
        super().__init__(_Jump(clock))
        self._clock = clock

    def time(self) -> float:
        """Return the clock's time, in seconds."""
        return self._clock.now()


class _Jump(selectors.SelectSelector):
    """Moves the clock where a selector would wait."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("everybody waits, and no timer runs")
        self._clock.advance(timeout)
        return ready
