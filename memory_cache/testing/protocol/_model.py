"""A protocol to be searched: the real one's table and judgement, or those of a mutant."""

from dataclasses import dataclass, field

from memory_cache._coherence import TRANSITIONS, Effect, Event, Heard, State, judge
from memory_cache._types import Header, Version
from memory_cache.testing.protocol._flaws import Flaw, Table


@dataclass(frozen=True, slots=True)
class Model:
    """
    What a search runs.

    Attributes:
        flaw: what is left out of the protocol; None: nothing.
        transitions: ``_coherence``'s table, unless the flaw is one of the table.
        anywhere: connections may be made to the node that is not the primary, too.
        demoted_reads: whether an answer of a node that is no primary any more must hold, too.
        most_kept: deltas kept during one load.
    """

    flaw: Flaw | None = None
    transitions: Table = field(default_factory=lambda: TRANSITIONS)
    anywhere: bool = False
    demoted_reads: bool = False
    most_kept: int = 256

    def step(self, state: State, event: Event) -> tuple[State, Effect]:
        """As ``_coherence.step``, by this protocol's table."""
        return self.transitions.get((state, event), (state, Effect.NONE))

    def judge(self, held: Header | None, delta: Heard) -> Event:
        """As ``_coherence.judge``, which it is but for one flaw."""
        if self.flaw is not Flaw.JUDGED_BY_NUMBER or held is None:
            return judge(held, delta)
        if delta.header.num <= held.num:
            return Event.KNOWN
        follows = delta.header.num == held.num + 1 and delta.carries
        return Event.NEXT if follows else Event.GAP

    def holds(self, header: Header, version: Version) -> bool:
        """As ``Header.holds``, which it is but for one flaw."""
        if self.flaw is Flaw.HELD_BY_NUMBER:
            return version.inc == header.inc and version.num <= header.num
        return header.holds(version)
