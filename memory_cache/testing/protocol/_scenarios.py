"""
The bounds within which everything is tried: small worlds, each about one kind of trouble.

A world in which everything may happen at once is too large to be searched to its end. Each of
these is searched whole: every order of what may happen in it.
"""

from dataclasses import dataclass
from typing import Final

from memory_cache.testing.protocol._flaws import Flaw, Table, table_of
from memory_cache.testing.protocol._model import Model
from memory_cache.testing.protocol._moves import moves
from memory_cache.testing.protocol._shapes import Data, Lane, Left, World

_PLENTY: Final = Left(
    others=("append",) * 2,
    fetches=4,
    fences=1,
    cuts=1,
    evictions=1,
    lose=2,
    script_losses=1,
)

_CONNECTED: Final = ("the process subscribes at node A",)
_EXISTS: Final = ("another process: append", *_CONNECTED)
_OPEN: Final = (
    *_EXISTS,
    "a read asks",
    "node A takes SUBSCRIBE",
    "the process hears",
    "node A reads",
    "the process gets",
)
_LOADED: Final = ("a read asks", "node A reads", "the process gets")
_HOT: Final = (*_OPEN, *_LOADED)
_LEASED: Final = (
    *_HOT,
    "another process: append",
    "the process hears",
    "the process sends fence",
    "node A takes fence",
    "the process hears",
    "the process gets",
)
_TWICE_SUBSCRIBED: Final = (
    *_HOT,
    "the near cache evicts",
    "a read asks",
    "node A reads",
    "the process gets",
)
_AT_REPLICA: Final = (
    *_HOT,
    "the subscription's connection is lost",
    "the process subscribes at node B",
    "a read asks",
    "node B takes SUBSCRIBE",
    "the process hears",
    "node A reads",
    "the process gets",
    *_LOADED,
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    Where a search begins and what may happen in it.

    ``prelude``: the beginnings of the steps that lead to the first state. The rest: ``Model``.
    """

    name: str
    words: str
    prelude: tuple[str, ...]
    left: Left
    anywhere: bool = False
    demoted_reads: bool = False
    most_kept: int = 256

    def model(self, flaw: Flaw | None = None, table: Table | None = None) -> Model:
        """Return the protocol with a flaw, or another table, as it is in this scenario."""
        table = table_of(flaw) if table is None else table
        return Model(flaw, table, self.anywhere, self.demoted_reads, self.most_kept)

    def before(self) -> list[str]:
        """Return the steps that lead to the first state."""
        return self._begun()[0]

    def _begun(self) -> tuple[list[str], World]:
        data, taken = Data(epoch=0), list[str]()
        world = World(_PLENTY, lane=Lane(0), bulk=Lane(0), data=data, replica=data, epoch=0)
        for step in self.prelude:
            following = moves(self.model(), world)
            words, world = next(move for move in following if move[0].startswith(step))
            taken.append(words)
        return taken, world

    def start(self) -> World:
        """Return the first state; the protocol itself comes to it."""
        _, world = self._begun()
        past = world.past[-self.left.lose :] if self.left.lose else ()
        return world._replace(left=self.left, past=past, done=())


SCENARIOS: Final = (
    Scenario(
        "deltas",
        "others append and edit; a payload that cannot be read; slow fences",
        _HOT,
        Left(others=("append", "edit"), fetches=1, fences=1, ticks=1, garbled=1),
    ),
    Scenario(
        "loads",
        "a session is appended to and read for the first time",
        _EXISTS,
        Left(others=("append",), fetches=2, fences=1, ticks=1),
    ),
    Scenario(
        "edited-loads",
        "a suspect is loaded while others append to it and edit it",
        _OPEN,
        Left(others=("append", "edit"), fetches=2, fences=1),
    ),
    Scenario(
        "overflow",
        "a load during which more is heard than is kept",
        _OPEN,
        Left(others=("append", "append"), fetches=2, fences=1),
        most_kept=1,
    ),
    Scenario(
        "channels",
        "evicted, unsubscribed and subscribed again, at once",
        _TWICE_SUBSCRIBED,
        Left(others=("append",), fetches=2, fences=1, evictions=1),
    ),
    Scenario(
        "evicted-loads",
        "evicted while it is loaded, and read again",
        (*_OPEN, "a read asks", "node A reads", "the near cache evicts"),
        Left(others=("append",), fetches=2, fences=1),
    ),
    Scenario(
        "own-appends",
        "own and others' appends, the connection lost, one sent again",
        _HOT,
        Left(others=("append",), own=("append",), fetches=1, fences=1, lane_cuts=1, resends=1),
    ),
    Scenario(
        "own-rewrites",
        "an own rewrite on a connection of its own, beside reads",
        _HOT,
        Left(others=("append",), own=("edit",), fetches=2),
    ),
    Scenario(
        "own-delete",
        "an own delete and its resend, beside a session made again",
        _HOT,
        Left(others=("append",), own=("delete",), fetches=1, lane_cuts=1, resends=1),
    ),
    Scenario(
        "reconnects",
        "the subscription is lost and made again",
        _OPEN,
        Left(others=("append",), fetches=3, fences=1, cuts=1),
    ),
    Scenario(
        "failover",
        "the other node takes over, with or without the last change",
        _LEASED,
        Left(others=("append",), fetches=1, fences=1, cuts=1, failovers=1, lose=1, lane_cuts=1),
    ),
    Scenario(
        "own-failover",
        "own and others' appends around a failover that may lose the last",
        _LEASED,
        Left(others=("append",), own=("append",), lane_cuts=1, resends=1, failovers=1, lose=1),
    ),
    Scenario(
        "fork",
        "after a failover that lost a change the old node relays the new history",
        _LEASED,
        Left(others=("append", "append"), fetches=1, failovers=1, lose=1, resyncs=1),
    ),
    Scenario(
        "there-and-back",
        "two failovers; connections to the first node never end",
        _HOT,
        Left(others=("append",), fences=2, ticks=1, failovers=2, resyncs=1),
    ),
    Scenario(
        "replica",
        "the subscription is at a replica, which misses a while of the primary",
        _AT_REPLICA,
        Left(others=("append",), fences=1, cuts=1, ticks=1, resyncs=1),
        anywhere=True,
    ),
    Scenario(
        "flush",
        "FLUSHALL, while fences are on their way",
        _HOT,
        Left(fetches=1, fences=2, ticks=1, flushes=1),
    ),
    Scenario(
        "flush-reconnects",
        "FLUSHALL after a fence that lost its script and its subscription",
        (
            *_HOT,
            "the process sends fence",
            "node A lost the script",
            "the subscription's connection is lost",
            "the process subscribes",
        ),
        Left(fetches=2, fences=1, flushes=1),
    ),
    Scenario(
        "absence",
        "a session that is not there is read, and made",
        _CONNECTED,
        Left(others=("append",), fetches=2, fences=1, ticks=1),
    ),
    Scenario(
        "operations",
        "deleted, made again, and each of these sent again; an own append sent again",
        _EXISTS,
        Left(
            others=("append", "delete", "append"),
            own=("append",),
            again=1,
            lane_cuts=1,
            resends=1,
        ),
    ),
)
"""Each is searched to its end in seconds."""

EVERYTHING: Final = Scenario(
    "everything",
    "all of it at once: too large to be searched to its end",
    _HOT,
    Left(
        others=("append", "edit", "delete", "append"),
        own=("append", "edit"),
        fetches=3,
        fences=3,
        ticks=2,
        cuts=1,
        lane_cuts=1,
        failovers=2,
        lose=1,
        resyncs=1,
        evictions=1,
        again=1,
        resends=1,
        garbled=1,
    ),
)

DEMOTED: Final = Scenario(
    "demoted",
    "reads on a connection to a node that is no primary any more",
    _HOT,
    Left(others=("append",), fetches=1, failovers=1),
    demoted_reads=True,
)
"""Nothing is promised here: a node that was demoted and keeps its connections answers reads."""
