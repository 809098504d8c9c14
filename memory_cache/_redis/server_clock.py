"""The store's clock, as far as this process has heard of it."""

import time


class ServerClock:
    """
    An estimate that is behind the store's clock by what an answer took to arrive, not ahead.

    So what is said to end some time from now ends no later there. A clock that is set moves it
    with the next answer.
    """

    def __init__(self) -> None:
        """Nothing was heard yet: what ends by this has ended, and the answer tells the time."""
        self._ms = 0.0
        self._heard_at = time.monotonic()

    def heard(self, ms: float) -> None:
        """Take the time of an answer that just arrived, in milliseconds since the epoch."""
        self._ms, self._heard_at = ms, time.monotonic()

    def after(self, seconds: float) -> int:
        """Return the time so many seconds from now, in milliseconds since the epoch."""
        return int(self._ms + (time.monotonic() - self._heard_at + seconds) * 1000)
