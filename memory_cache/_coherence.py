"""
When a ring may answer: the state machine of one hot session, and the lease.

House rules of this file: everything that decides whether the near cache may answer is
here, and nothing here does I/O or reads a clock. It is told what happened and answers with
what to do. A change of these tables is a change of the protocol (docs/design.md).

The rules that the tables express:

1. The near cache changes by the bus only, in order, own writes like everybody's.
2. Subscribe first, snapshot second. What is heard in between is kept and replayed on top.
   A load opens on the confirmation of the *last* SUBSCRIBE sent for its channel.
3. A delta applies only if it continues what is held. A gap, a fork, another incarnation:
   suspect.
4. It answers only while the lease of its generation holds, counted from when the fence was
   sent, and renewed when both the nonce (on the subscription) and the reply are in.
5. What began in another generation changes nothing.
6. Any doubt makes suspect. A suspect keeps its data and is revalidated, never flushed.
7. A version that goes backwards shows in incarnation, era or tag, and is never mixed.
8. That a session does not exist is always the store's answer: nothing here says so.
9. What was heard or fetched is read to its end before anything changes. What cannot be read
   changes nothing, and makes suspect just the session it is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol, TypeVar

from memory_cache._types import Header


class State(Enum):
    """What is known of one hot session, in the present generation."""

    COLD = auto()  # not subscribed; data may be held from before
    OPENING = auto()  # SUBSCRIBE sent, its last confirmation not heard
    SUSPECT = auto()  # subscribed; what is held may be behind
    LOADING = auto()  # subscribed; a snapshot asked for since is under way, deltas are kept
    LIVE = auto()  # what is held equals the log up to the last delta heard


class Event(Enum):
    """What can happen to it."""

    ASKED = auto()  # a SUBSCRIBE was sent
    OPENED = auto()  # the last SUBSCRIBE sent was confirmed
    FETCHED = auto()  # a snapshot was asked for
    LANDED = auto()  # the snapshot is in, and what was kept continues it
    MISSED = auto()  # the snapshot is in, and what was kept does not continue it
    FAILED = auto()  # the snapshot will not come, or there is no session
    NEXT = auto()  # a delta that continues what is held
    KNOWN = auto()  # a delta that is in already
    GAP = auto()  # a delta that does not continue it, or does not carry its messages
    DOUBT = auto()  # anything else that may mean that it is behind
    LOST = auto()  # the generation ended


class Effect(Enum):
    """What to do about it."""

    NONE = auto()
    KEEP = auto()  # keep the delta until the snapshot is in
    APPLY = auto()  # apply the delta to the ring
    INSTALL = auto()  # put the snapshot and what was kept on top into the ring
    HOLD = auto()  # keep the data, as suspect


_S, _E, _F = State, Event, Effect

TRANSITIONS: Final[dict[tuple[State, Event], tuple[State, Effect]]] = {
    (_S.COLD, _E.ASKED): (_S.OPENING, _F.NONE),
    (_S.OPENING, _E.ASKED): (_S.OPENING, _F.NONE),
    (_S.OPENING, _E.OPENED): (_S.SUSPECT, _F.NONE),
    (_S.SUSPECT, _E.FETCHED): (_S.LOADING, _F.NONE),
    (_S.LOADING, _E.FETCHED): (_S.LOADING, _F.NONE),
    (_S.LOADING, _E.LANDED): (_S.LIVE, _F.INSTALL),
    (_S.LOADING, _E.MISSED): (_S.SUSPECT, _F.HOLD),
    (_S.LOADING, _E.FAILED): (_S.SUSPECT, _F.NONE),
    (_S.LOADING, _E.NEXT): (_S.LOADING, _F.KEEP),
    (_S.LOADING, _E.KNOWN): (_S.LOADING, _F.KEEP),
    (_S.LOADING, _E.GAP): (_S.LOADING, _F.KEEP),
    (_S.LIVE, _E.NEXT): (_S.LIVE, _F.APPLY),
    (_S.LIVE, _E.KNOWN): (_S.LIVE, _F.NONE),
    (_S.LIVE, _E.GAP): (_S.SUSPECT, _F.NONE),
    (_S.LIVE, _E.DOUBT): (_S.SUSPECT, _F.NONE),
    (_S.LOADING, _E.DOUBT): (_S.SUSPECT, _F.NONE),
} | {(state, _E.LOST): (_S.COLD, _F.NONE) for state in State}


def step(state: State, event: Event) -> tuple[State, Effect]:
    """Return the next state and what to do; what the table does not name changes nothing."""
    return TRANSITIONS.get((state, event), (state, Effect.NONE))


class Heard(Protocol):
    """What this file needs to know of a delta."""

    @property
    def previous_tag(self) -> str:
        """The tag of the version before."""

    @property
    def header(self) -> Header:
        """The version after."""

    @property
    def carries(self) -> bool:
        """Whether the change can be applied from what the delta brings."""

    @property
    def brings(self) -> int:
        """Number of messages it brings."""

    @property
    def fields(self) -> bytes | None:
        """The fields after it, None if they did not change."""


D = TypeVar("D", bound=Heard)


def judge(held: Header | None, delta: Heard) -> Event:
    """Say how a delta stands to what is held (rule 3)."""
    after = delta.header
    if held is None or after.inc != held.inc:
        return Event.GAP
    if after.num <= held.num and held.holds(after.version):
        return Event.KNOWN  # the snapshot may have overtaken what it includes
    if after.num == held.num + 1 and delta.previous_tag == held.tag and delta.carries:
        return Event.NEXT if _adds_up(held, delta) else Event.GAP
    return Event.GAP


def _adds_up(held: Header, delta: Heard) -> bool:
    """Whether the header after it is that of what is held and what the delta brings."""
    after = delta.header
    changed = after.num if delta.fields is not None else held.fields_num
    return after.next - held.next == delta.brings and (
        after.first,
        after.edits,
        after.fields_num,
    ) == (held.first, held.edits, changed)


def replay(snapshot: Header, kept: Sequence[D]) -> list[D] | None:
    """
    Return the kept deltas that continue the snapshot, in order; None if they do not.

    The server ran what was kept after the subscription and the snapshot at one moment among
    them, so those up to the snapshot's version are in it already.
    """
    held, fitting = snapshot, list[D]()
    for delta in kept:
        if delta.header.inc == snapshot.inc and delta.header.num <= snapshot.num:
            continue
        if judge(held, delta) is not Event.NEXT:
            return None
        fitting.append(delta)
        held = delta.header
    return fitting


@dataclass(slots=True)
class _Fence:
    sent_at: float
    heard: bool = False
    answered: bool = False


class Lease:
    """
    The time for which the last fence lets the near cache answer (rule 4).

    The server runs one command at a time and fills a subscriber's buffer in that order. So a
    nonce that has come out of the subscription means that everything executed before its fence
    was sent has come out too, and is applied, for one handler sees both in order.
    """

    def __init__(self, seconds: float) -> None:
        """Let each fence hold for ``seconds`` (T) from when it was sent."""
        self._seconds = seconds
        self._fences: dict[str, _Fence] = {}
        self.until = float("-inf")
        self.passed = float("-inf")

    def sent(self, nonce: str, now: float) -> None:
        """Note that a fence leaves at ``now``."""
        self._fences[nonce] = _Fence(now)

    def heard(self, nonce: str) -> bool:
        """Note that a nonce came out of the subscription; True if this renews the lease."""
        fence = self._fences.get(nonce)
        if fence is None:
            return False
        fence.heard = True
        self.passed = max(self.passed, fence.sent_at)
        return self._renew(nonce, fence)

    def answered(self, nonce: str) -> bool:
        """Note that the node's answer to a fence is in and right; True if this renews."""
        fence = self._fences.get(nonce)
        if fence is None:
            return False
        fence.answered = True
        return self._renew(nonce, fence)

    def end(self) -> None:
        """End the lease with its generation; no fence of before can renew it (rule 5)."""
        self._fences.clear()
        self.until = self.passed = float("-inf")

    def holds(self, now: float) -> bool:
        """Whether the near cache may answer at ``now``."""
        return now < self.until

    def _renew(self, nonce: str, fence: _Fence) -> bool:
        if not (fence.heard and fence.answered):
            return False
        del self._fences[nonce]
        self.until = max(self.until, fence.sent_at + self._seconds)
        return True
