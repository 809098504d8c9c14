"""What ``check_history`` answers with."""

from dataclasses import dataclass
from enum import StrEnum

from memory_cache.testing.history import Read, Write


class AnomalyKind(StrEnum):
    """What a history may not show."""

    LOST_APPEND = "lost-append"  # acknowledged, and gone with nothing that asked or allowed for it
    DUPLICATE = "duplicate"  # one application, two positions
    REORDER = "reorder"  # an order that real time, or another answer, contradicts
    GAP = "gap"  # messages missing inside an answer, or in front of it
    SHORT_READ = "short-read"  # fewer messages than asked for, or not up to the version's end
    STALE = "stale-beyond-bound"
    FUTURE_READ = "future-read"  # shown before it was sent, or by a version that is older than it
    VERSION_NOT_GIVEN = "version-not-given"  # an answer that does not hold the version asked for
    TORN = "torn"  # a message that is not as it was written
    LEAK = "leak"  # a message of another session
    PHANTOM = "phantom"  # a message that nobody sent
    AFTER_REFUSAL = "applied-after-refusal"
    PARTIAL_APPEND = "partial-append"
    REPLAY_MISMATCH = "replay-mismatch"  # one operation, two results
    DIVERGENCE = "divergence"  # a fork: two contents for one place in one history


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One broken promise; ``text`` names the operations, their times and seqs, in one line."""

    kind: AnomalyKind
    session: str
    text: str


@dataclass(frozen=True, slots=True)
class Staleness:
    """How old an answer was: seconds from the ack of the first write it misses to its sending."""

    read: Read
    seconds: float


@dataclass(frozen=True, slots=True)
class Loss:
    """
    Acknowledged messages that are gone, as a fault allowed.

    No answer has shown them as still there: what holds their version is gone with them.
    """

    write: Write
    names: tuple[str, ...]
    fault: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What a history shows.

    ``anomalies`` must be empty. ``staleness`` has every read that missed an acknowledged write,
    within the bound or not, unless a fault may have taken that; ``losses`` what faults took that
    may.
    """

    anomalies: tuple[Anomaly, ...]
    staleness: tuple[Staleness, ...] = ()
    losses: tuple[Loss, ...] = ()
