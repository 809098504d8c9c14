"""A progress bar on stderr, if somebody looks."""

import sys
import time

WIDTH = 30


class Progress:
    """Counts steps; silent unless stderr is a terminal."""

    def __init__(self, name: str, steps: int) -> None:
        """Begin with nothing done of ``steps``."""
        self._name = name
        self._steps = max(steps, 1)
        self._done = 0
        self._began = time.monotonic()
        self._shown = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Say what is being done."""
        if not self._shown:
            return
        full = round(WIDTH * self._done / self._steps)
        bar = "█" * full + "·" * (WIDTH - full)
        seconds = time.monotonic() - self._began
        print(
            f"\r\x1b[K{self._name} {bar} {self._done}/{self._steps} {seconds:.0f} s  {text}",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def step(self, text: str = "") -> None:
        """One more is done."""
        self._done = min(self._done + 1, self._steps)
        self.say(text)

    def close(self) -> None:
        """Take the bar away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
