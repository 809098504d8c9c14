"""
The ways to break a rule: each is a protocol that leaves one thing out.

A flaw that is only another table says so in ``TABLES``; the others are looked for where the
model does what the rule says.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from memory_cache._coherence import TRANSITIONS, Effect, Event, State

Table = Mapping[tuple[State, Event], tuple[State, Effect]]


class Flaw(Enum):
    """A rule of the design (0: one of the store) and what is done in its place."""

    APPLIED_AT_REPLY = 1, "an own write goes into the ring when its reply comes, not by the bus"
    ACKNOWLEDGED_AT_REPLY = 1, "an own write is acknowledged before its delta has passed"
    LATE_WITHOUT_DOUBT = 1, "an own write stops waiting for its delta, and the entry stays live"
    OLD_FLIGHT_JOINED = 1, "a read shares a fetch that began before an own write"
    LOADED_BEFORE_OPEN = 2, "a snapshot counts that was asked for before the channel was open"
    OLDER_CONFIRMATION = 2, "a load opens on the confirmation of an older SUBSCRIBE"
    BETWEEN_IGNORED = 2, "deltas that arrive during a load are not kept"
    KEPT_UNCHECKED = 2, "what was kept goes on top of a snapshot that it does not continue"
    GAP_IGNORED = 3, "a delta that does not continue what is held is passed over"
    GAP_APPLIED = 3, "a delta that does not continue what is held is applied"
    NO_LEASE = 4, "the near cache answers without a lease"
    LEASE_FROM_RECEIPT = 4, "the lease counts from when the nonce came back"
    RENEWED_WITHOUT_NONCE = 4, "the reply alone renews the lease"
    RENEWED_WITHOUT_REPLY = 4, "the nonce alone renews the lease"
    NONCE_BESIDE_QUEUE = 4, "nonces are handled beside the queue of deltas"
    BARE_PUBLISH = 4, "the fence is a bare PUBLISH"
    ANY_REPLID = 4, "the replication id is not compared"
    ANY_PROCESS = 4, "the lane may be at another process than the subscription"
    ANY_EPOCH = 4, "the store's epoch is not compared"
    FILL_OF_ANOTHER_GENERATION = 5, "a snapshot lands whatever load or generation it began in"
    FILL_OF_AN_OLDER_LOAD = 5, "a snapshot lands in a load that was begun after it"
    FILL_OF_ANOTHER_ENTRY = 5, "a snapshot lands in an entry made since its own was evicted"
    ENDED_FENCE_TAKES_EPOCH = 5, "a fence of an ended generation uses up the news of a flush"
    GIVEN_UP_FENCE_RENEWS = 5, "a fence renews the lease of a generation that was given up"
    SILENT_RESUBSCRIBE = 6, "a lost subscription is made again without a word"
    LOST_STAYS_LIVE = 6, "an entry stays live when its generation ends"
    LOST_STAYS_OPEN = 6, "after a reconnect an entry is loaded with its channel not subscribed"
    DOUBT_IGNORED = 6, "a doubt does not make suspect"
    JUDGED_BY_NUMBER = 7, "a delta is judged by its number alone"
    HELD_BY_NUMBER = 7, "a version is found in a history by its number alone"
    WOKEN_BY_NUMBER = 7, "an own write counts as heard with any delta of its number"
    ABSENCE_KEPT = 8, "that a session does not exist is remembered and answered"
    PUBLISHED_OUTSIDE = 0, "a change is published after its script, by who made it"
    RESENT_WITHOUT_ID = 0, "a change is sent again without its operation id"
    RECORD_IN_SESSION = 0, "operation records go with their session"

    @property
    def rule(self) -> int:
        """Number of the rule."""
        return self.value[0]

    @property
    def words(self) -> str:
        """What is done in place of what the rule says."""
        return self.value[1]

    @property
    def title(self) -> str:
        """The name used on the command line."""
        return self.name.lower().replace("_", "-")


_S, _E, _F = State, Event, Effect

TABLES: Final[dict[Flaw, Table]] = {
    Flaw.LOADED_BEFORE_OPEN: {(_S.COLD, _E.ASKED): (_S.LOADING, _F.NONE)},
    Flaw.BETWEEN_IGNORED: {
        (_S.LOADING, event): (_S.LOADING, _F.NONE) for event in (_E.NEXT, _E.KNOWN, _E.GAP)
    },
    Flaw.KEPT_UNCHECKED: {(_S.LOADING, _E.MISSED): (_S.LIVE, _F.INSTALL)},
    Flaw.GAP_IGNORED: {(_S.LIVE, _E.GAP): (_S.LIVE, _F.NONE)},
    Flaw.GAP_APPLIED: {(_S.LIVE, _E.GAP): (_S.LIVE, _F.APPLY)},
    Flaw.LOST_STAYS_LIVE: {(_S.LIVE, _E.LOST): (_S.LIVE, _F.NONE)},
    Flaw.LOST_STAYS_OPEN: {(_S.LIVE, _E.LOST): (_S.SUSPECT, _F.NONE)},
    Flaw.DOUBT_IGNORED: {(_S.LIVE, _E.DOUBT): (_S.LIVE, _F.NONE)},
}


def table_of(flaw: Flaw | None) -> Table:
    """Return the transitions of a protocol with this flaw (None: with none)."""
    if flaw not in TABLES:
        return TRANSITIONS
    return {**TRANSITIONS, **TABLES[flaw]}
