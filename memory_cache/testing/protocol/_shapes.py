"""
The shapes of which a state of the model is made: tuples, so that a state can be a key.

Versions are numbers here: the place of the change that made them in ``World.log``, and -1 where
there is no session.
"""

from typing import Final, NamedTuple

from memory_cache._coherence import State
from memory_cache._types import Header

T: Final = 1
"""The staleness bound, in ticks. Within one tick anything may happen, in any order."""

NONE: Final = -1


class Made(NamedTuple):
    """One change as a node carried it out: what its delta says, and the transcript after it."""

    header: Header
    previous_tag: str
    carries: bool
    messages: tuple[str, ...]
    added: tuple[str, ...]
    parent: int

    @property
    def brings(self) -> int:
        """Number of messages its delta brings."""
        return len(self.added)

    @property
    def fields(self) -> bytes | None:
        """The fields after it: no change of the model is one of fields."""
        return None


class Moment(NamedTuple):
    """From tick ``at`` on the primary had ``version``; ``change`` did it (NONE: a fault did)."""

    at: int
    version: int
    change: int


class Data(NamedTuple):
    """What a node stores: a session, operation records with their results, the store's epoch."""

    version: int = NONE
    records: tuple[tuple[str, int], ...] = ()
    applied: tuple[str, ...] = ()
    epoch: int = NONE


class Fetch(NamedTuple):
    """
    A read on its way: a load of ``_near``, and what it must not be older than.

    ``mine``: for the entry that is held now; ``current``: begun in this generation.
    ``since``: the moment at which it began; ``joinable``: later reads may still share it.
    """

    mine: bool
    current: bool
    serial: int
    have: int
    since: int
    began: int
    joinable: bool


class FenceSent(NamedTuple):
    """A fence on its way, and the subscription it was sent for."""

    nonce: int
    current: bool
    node: int
    replid: int


class Write(NamedTuple):
    """A change of this process on its way."""

    operation: str
    kind: str


Request = Fetch | FenceSent | Write


class Span(NamedTuple):
    """The answer to a fetch: a version, and its messages from ``start`` on."""

    fetch: Fetch
    version: int
    start: int
    messages: tuple[str, ...]
    demoted: bool


class Fenced(NamedTuple):
    """The answer to a fence."""

    fence: FenceSent
    receivers: int
    epoch: int
    replid: int


class Written(NamedTuple):
    """The answer to a change."""

    write: Write
    version: int


class Refused(NamedTuple):
    """A node that does not take writes said so, or it lost the script."""

    request: Request
    again: bool = False


Reply = Span | Fenced | Written | Refused


class Lane(NamedTuple):
    """A command connection: a node (NONE: there is none), and what is on its way."""

    node: int = NONE
    requests: tuple[Request, ...] = ()
    replies: tuple[Reply, ...] = ()


class Sub(NamedTuple):
    """
    The subscription: its node as it said at connect, the session's channel, what is on its way.

    ``open``: at the node. ``inbox``: ("open" | "closed" | "delta" | "nonce", number).
    """

    node: int = NONE
    replid: int = NONE
    open: bool = False
    wanted: bool = False
    unconfirmed: int = 0
    requests: tuple[str, ...] = ()
    inbox: tuple[tuple[str, int], ...] = ()


class Entry(NamedTuple):
    """The hot session as the near cache holds it."""

    state: State = State.COLD
    held: int = NONE
    start: int = 0
    messages: tuple[str, ...] = ()
    kept: tuple[int, ...] = ()
    serial: int = 0


class Fence(NamedTuple):
    """A fence that has not renewed the lease yet; ``since`` as for a fetch."""

    nonce: int
    at: int
    heard: bool
    answered: bool
    since: int


class Own(NamedTuple):
    """A change of this process: ``sent``, ``lost`` (no answer will come) or ``answered``."""

    operation: str
    kind: str
    phase: str
    version: int = NONE


class Left(NamedTuple):
    """What may still happen: the bounds of a scenario, used up as the run goes on."""

    others: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    fetches: int = 0
    fences: int = 0
    ticks: int = 0
    cuts: int = 0
    lane_cuts: int = 0
    failovers: int = 0
    lose: int = 0
    resyncs: int = 0
    evictions: int = 0
    flushes: int = 0
    again: int = 0
    resends: int = 0
    script_losses: int = 0
    garbled: int = 0


class World(NamedTuple):
    """Everything: two nodes, the process and its near cache, and what is between them."""

    left: Left
    log: tuple[Made, ...] = ()
    truth: tuple[Moment, ...] = (Moment(0, NONE, NONE),)
    now: int = 0
    # The nodes
    primary: int = 0
    replids: tuple[int, int] = (0, 0)
    relay: bool = True
    data: Data = Data()
    replica: Data = Data()
    past: tuple[Data, ...] = ()
    ghosts: tuple[bool, bool] = (False, False)
    unpublished: tuple[int, ...] = ()
    # Between
    lane: Lane = Lane()
    bulk: Lane = Lane()
    sub: Sub = Sub()
    stray: tuple[tuple[int, Write], ...] = ()
    # The process
    entry: Entry | None = None
    absent: bool = False
    until: int = NONE
    fences: tuple[Fence, ...] = ()
    given_up: bool = False
    nonces: int = 0
    epoch: int = NONE
    writes: tuple[Own, ...] = ()
    acknowledged: tuple[int, ...] = ()
    done: tuple[tuple[str, str], ...] = ()
    broken: str = ""
