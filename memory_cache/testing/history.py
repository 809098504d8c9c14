"""
What clients of several workers saw, in the words that ``check_history`` judges.

Times are seconds of one monotonic clock shared by all who record. A session is named by the text
of its key, a version by its text, a message by a name that its body spells out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Applied(StrEnum):
    """What a client knows of its change."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class WriteKind(StrEnum):
    """What a change was."""

    APPEND = "append"
    PUT = "put"  # the whole transcript
    DELETE = "delete"


class Asked(StrEnum):
    """The consistency a read asked for."""

    BOUNDED = "bounded"
    NEWEST = "newest"
    AT_LEAST = "at_least"


class Answer(StrEnum):
    """How a read ended."""

    PAGE = "page"
    ABSENT = "absent"  # there is no such session, by the store's word
    LOST = "lost"  # the store lost the version asked for: 409
    REFUSED = "refused"  # the store did not answer, or not in time


@dataclass(frozen=True, slots=True)
class Sighting:
    """
    One message in an answer.

    Attributes:
        name: what its body says it is; empty if that cannot be read.
        session: the session its body says it was written to.
        intact: its length and checksum are right.
    """

    name: str
    session: str
    intact: bool = True


@dataclass(frozen=True, slots=True)
class Write:
    """
    One change, from when it was sent.

    Attributes:
        names: of an append the messages it adds, of a PUT the whole transcript.
        done: when its outcome was known; None if the client gave it up.
        applied: UNKNOWN where the client cannot tell.
        operation_id: resends of one change share it, each a ``Write`` of its own.
        if_version: the version it was made on, if it was conditional.
        version, start: what the answer said, where there was one.
        ttl_seconds: what it asked for; the session may be gone so long after it was sent.
    """

    kind: WriteKind
    session: str
    client: str
    worker: str
    sent: float
    done: float | None
    applied: Applied
    names: tuple[str, ...] = ()
    operation_id: str | None = None
    if_version: str | None = None
    version: str | None = None
    start: int | None = None
    replayed: bool = False
    ttl_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """
    One read.

    Attributes:
        limit: how many of the newest were asked for; None for all.
        asked_version: what AT_LEAST named.
        version, first, next, start: what the page said; ``start`` is the seq of its first message.
        tier: "near" or "store".
    """

    session: str
    client: str
    worker: str
    sent: float
    done: float
    asked: Asked
    answer: Answer
    limit: int | None = None
    asked_version: str | None = None
    version: str | None = None
    first: int = 0
    next: int = 0
    start: int = 0
    sightings: tuple[Sighting, ...] = ()
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """
    What was done to the system, and when; ``may_lose``: it may take acknowledged writes with it.

    A store restarted without a log, a flush, and a failover may; a killed worker may not.
    """

    kind: str
    began: float
    ended: float
    may_lose: bool = False


@dataclass(frozen=True, slots=True)
class Final:
    """What the store itself holds of a session when all is over; no version: no such session."""

    session: str
    version: str | None
    first: int
    sightings: tuple[Sighting, ...]


@dataclass(slots=True)
class History:
    """Everything that was seen of one run, in any order."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    finals: Sequence[Final] = ()
