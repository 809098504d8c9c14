"""What the bench expects beside a clean history: how often it was kept, and broken."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Expectation(StrEnum):
    """A right behaviour under faults; the text says it, the rows are of ``FAULTS``."""

    ENDS = "every request ends within the deadline, whatever happens"
    KNOWN = "a request fails only as documented: no bug, no damage, no worker that ends by itself"
    RECOVERS = "every worker succeeds within a second after heal, store and worker being there"
    FULL = "a full store refuses changes before they begin (applied: no); reads and deletes go on"
    DISK = "a store that cannot write its log refuses changes (applied: no); reads go on"
    ALWAYS = "a store that answers once its log is on the disk ends rather than answer without"
    CORRUPT = "a store with a log corrupt in the middle does not start, and nothing is answered"
    FORGOTTEN = "once the store was emptied, no answer names an incarnation from before"
    SCRIPTS = "a lost script cache costs no client an error"
    HERD = "after a restart a worker fills no session twice for it"
    SUPERVISOR = "of two servers on a folder one serves: the store of a killed one, and all of it"
    RESTS = "workers of which nobody asks anything hold nothing of before, and mixed up no replies"
    HUGE = "the last 20 of a huge session move no more bytes than of a short one"


@dataclass(slots=True)
class Scores:
    """Counts by expectation, and what broke them."""

    kept: Counter[Expectation] = field(default_factory=Counter)
    broken: list[tuple[Expectation, str]] = field(default_factory=list)

    def judge(self, expectation: Expectation, text: str, *, kept: bool) -> None:
        """Count one case; ``text`` says what happened, should it be broken."""
        if kept:
            self.kept[expectation] += 1
        else:
            self.broken.append((expectation, text))

    def add(self, other: "Scores") -> None:
        """Add the counts of another round."""
        self.kept.update(other.kept)
        self.broken.extend(other.broken)
