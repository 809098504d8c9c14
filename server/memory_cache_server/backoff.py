"""How long to wait before what died is started again."""

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 5.0
STABLE_SECONDS = 10.0


class Backoff:
    """
    Delays for one thing that is kept alive: none at first, then doubling up to a bound.

    ``failures`` counts its lives in a row that were shorter than `STABLE_SECONDS`.
    """

    def __init__(self) -> None:
        self.failures = 0

    def delay(self, lived_seconds: float) -> float:
        """Seconds to wait now that it died after ``lived_seconds``; 0.0: it never came up."""
        if lived_seconds >= STABLE_SECONDS:
            self.failures = 0
        seconds = FIRST_SECONDS * 2 ** (self.failures - 1) if self.failures else 0.0
        self.failures += 1
        return min(seconds, LONGEST_SECONDS)
