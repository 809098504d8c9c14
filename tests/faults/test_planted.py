from collections.abc import Callable
from dataclasses import replace

import pytest

from faults.reference import BOUND, Reference
from memory_cache.testing import AnomalyKind, check_history
from memory_cache.testing.history import (
    Answer,
    Applied,
    Asked,
    Fault,
    Final,
    History,
    Read,
    Sighting,
    Write,
    WriteKind,
)


class Base:
    """A legal history of two sessions, and one read of "chat" to tamper with."""

    def __init__(self) -> None:
        self.reference = Reference(7)
        write = self.reference.write
        for session in ("chat", "talk"):
            write(WriteKind.PUT, session, self.reference.names(10))
            for count in (1, 3) * 8:
                write(WriteKind.APPEND, session, self.reference.names(count))
                self.reference.read(session, Asked.BOUNDED)
        self.refused = write(WriteKind.APPEND, "chat", self.reference.names(1), applied=Applied.NO)
        self.older = self.reference.read("chat", lag=0.0)
        self.last = write(WriteKind.APPEND, "chat", self.reference.names(1))
        self.reference.tick(BOUND)
        self.read = self.reference.read("chat", lag=0.0)
        self.reference.tick(BOUND)
        self.after = write(WriteKind.APPEND, "chat", self.reference.names(1))
        self.history = self.reference.end()

    def tamper(self, **changes: object) -> None:
        """Make the read say something else."""
        at = self.history.reads.index(self.read)
        self.history.reads[at] = replace(self.read, **changes)  # type: ignore[arg-type]

    def show(self, *names: str, session: str = "chat", intact: bool = True) -> None:
        """Have the read end with other messages."""
        seen = tuple(Sighting(name, session, intact) for name in names)
        self.tamper(sightings=self.read.sightings[: -len(names)] + seen)

    def extend(self, *names: str) -> None:
        """Have the read show more at its end."""
        seen = tuple(Sighting(name, "chat") for name in names)
        self.tamper(
            sightings=self.read.sightings[len(names) :] + seen,
            start=self.read.start + len(names),
            next=self.read.next + len(names),
        )

    def final(self, names: tuple[Sighting, ...]) -> None:
        """Have the store end with these."""
        chat, talk = self.history.finals
        self.history.finals = (replace(chat, sightings=names), talk)

    def single(self) -> int:
        """Return where in the read a message stands that was appended alone."""
        alone = {write.names for write in self.history.writes}
        seen = self.read.sightings
        return next(at for at in range(5, 15) if (seen[at].name,) in alone)

    def sent(self, write: Write) -> Write:
        """Add a write that somebody made."""
        self.history.writes.append(write)
        return write


Plant = Callable[[Base], None]


def swapped(base: Base) -> None:
    """Two messages have changed places."""
    seen = list(base.read.sightings)
    seen[8], seen[12] = seen[12], seen[8]
    base.tamper(sightings=tuple(seen))


def lost_last(base: Base) -> None:
    """The store does not have the last message."""
    base.final(base.history.finals[0].sightings[:-1])


def lost_inside(base: Base) -> None:
    """The store does not have one message, and closed the gap."""
    seen = base.history.finals[0].sightings
    base.final(tuple(sighting for sighting in seen if sighting.name != base.last.names[0]))


def lost_session(base: Base) -> None:
    """The store has no session."""
    base.history.finals = (Final("chat", None, 0, ()), base.history.finals[1])


def lost_by_version(base: Base) -> None:
    """The store went back to an older state, and shows that it did."""
    seen = base.history.finals[0].sightings[:-1]
    base.history.finals = (Final("chat", base.last.version, 0, seen), base.history.finals[1])


def acked_out_of_order(base: Base) -> None:
    """A message stands behind one that was sent long after its ack."""
    at = base.history.writes.index(base.after)
    early = replace(base.after, sent=base.last.sent - 60, done=base.last.sent - 59)
    base.history.writes[at] = early
    base.history.reads = [r for r in base.history.reads if r.session != "chat"]


def seen_again(base: Base) -> None:
    """A message of the beginning is there again, at the end."""
    base.extend(base.history.writes[0].names[0])


def short(base: Base) -> None:
    """Fewer than were asked for."""
    base.tamper(sightings=base.read.sightings[5:], start=base.read.start + 5)


def behind_its_version(base: Base) -> None:
    """The newest version, with the messages of an older one."""
    base.tamper(
        sightings=base.older.sightings,
        start=base.older.start,
        next=base.older.next,
    )


def gap(base: Base) -> None:
    """A message is missing inside."""
    seen, at = base.read.sightings, base.single()
    base.tamper(sightings=seen[:at] + seen[at + 1 :])


def shifted(base: Base) -> None:
    """One is missing inside, one too many is there before."""
    seen, at = base.read.sightings, base.single()
    base.tamper(sightings=(base.older.sightings[0], *seen[:at], *seen[at + 1 :]))


def old_state(asked: Asked, seconds: float) -> Plant:
    """Return a read of the state before the last ack, asked for so long after it."""

    def plant(base: Base) -> None:
        sent = (base.last.done or 0.0) + seconds
        stale = replace(base.older, asked=asked, sent=sent, done=sent + 0.01)
        base.history.reads.append(stale)

    return plant


def absent(base: Base) -> None:
    """The session is said not to exist."""
    base.tamper(answer=Answer.ABSENT, version=None, sightings=(), start=0, next=0)


def old_after_delete(base: Base) -> None:
    """A DELETE that tells no version was acknowledged long before."""
    end = base.read.done + 0.5
    delete = Write(WriteKind.DELETE, "chat", "c1", "w1", end - 0.1, end, Applied.YES)
    base.sent(delete)
    base.history.writes.remove(base.after)
    base.history.finals = (Final("chat", None, 0, ()), base.history.finals[1])
    base.history.reads.append(replace(base.read, sent=end + 0.1, done=end + 0.2))


def future(base: Base) -> None:
    """A message is read before it is sent."""
    base.tamper(sent=base.last.sent - 0.2, done=base.last.sent - 0.1)


def future_unknown(base: Base) -> None:
    """A message whose client never knew is read before it is sent."""
    names, sent = base.reference.names(1), base.read.done + 0.1
    base.sent(Write(WriteKind.APPEND, "chat", "c1", "w1", sent, None, Applied.UNKNOWN, names))
    base.extend(*names)


def later_message(base: Base) -> None:
    """A message is shown by a version that is older."""
    base.extend(base.after.names[0])


def asked_later(base: Base) -> None:
    """A version older than the one asked for."""
    base.tamper(asked=Asked.AT_LEAST, asked_version=base.after.version)


def asked_other(base: Base) -> None:
    """A version of another incarnation than the one asked for."""
    base.tamper(asked=Asked.AT_LEAST, asked_version="other.e1.1.tag")


def said_lost(base: Base) -> None:
    """A version is said to be lost that is there."""
    base.tamper(
        asked=Asked.AT_LEAST,
        asked_version=base.last.version,
        answer=Answer.LOST,
        version=None,
    )


def partial(base: Base) -> None:
    """Two of three messages of one append."""
    names = base.reference.names(3)
    sent = base.read.sent - 0.1
    base.sent(Write(WriteKind.APPEND, "chat", "c1", "w1", sent, None, Applied.UNKNOWN, names))
    base.extend(*names[:2])


def partial_for_good(base: Base) -> None:
    """The first of three are gone with a block."""
    whole = next(w for w in reversed(base.history.writes) if len(w.names) == 3)
    assert whole.session == "talk"
    chat, talk = base.history.finals
    seen = tuple(sighting for sighting in talk.sightings if sighting.name != whole.names[0])
    base.history.finals = (chat, replace(talk, sightings=seen))


def replay(base: Base) -> None:
    """A resend is told another result."""
    other = replace(base.last, version=base.after.version, start=base.after.start, replayed=True)
    base.sent(other)


def one_more_tag(base: Base) -> None:
    """One number, two tags."""
    assert base.read.version is not None
    base.tamper(version=f"{base.read.version}0")


def two_at_one_seq(base: Base) -> None:
    """Another message in the place of one that was acknowledged."""
    names = base.reference.names(1)
    sent = base.read.sent - 0.1
    base.sent(Write(WriteKind.APPEND, "chat", "c1", "w1", sent, None, Applied.UNKNOWN, names))
    base.show(*names)


def before_unknown(base: Base) -> None:
    """A message is in the place of half an append, and behind it some whose place is unknown."""
    names = base.reference.names(2)
    for name in names:
        sent = base.read.sent - 0.1
        base.sent(Write(WriteKind.APPEND, "chat", "c1", "w1", sent, None, Applied.UNKNOWN, (name,)))
    base.show(base.last.names[0], *names)


def not_its_condition(base: Base) -> None:
    """A conditional change was made on another version."""
    at = base.history.writes.index(base.after)
    base.history.writes[at] = replace(base.after, if_version=base.older.version)


def removed(base: Base) -> None:
    """What a PUT removed stands where it stood."""
    reference = Reference(3)
    old = reference.write(WriteKind.APPEND, "chat", reference.names(3))
    reference.write(WriteKind.PUT, "chat", reference.names(2))
    read = reference.read("chat", lag=0.0)
    reference.write(WriteKind.APPEND, "chat", reference.names(1))
    base.history, base.read = reference.end(), read
    base.extend(old.names[2])


PLANTS: list[tuple[AnomalyKind, Plant]] = [
    (AnomalyKind.LOST_APPEND, lost_last),
    (AnomalyKind.LOST_APPEND, lost_inside),
    (AnomalyKind.LOST_APPEND, lost_session),
    (AnomalyKind.LOST_APPEND, lost_by_version),
    (AnomalyKind.DUPLICATE, seen_again),
    (AnomalyKind.DUPLICATE, lambda base: base.extend(base.last.names[0])),
    (AnomalyKind.REORDER, swapped),
    (AnomalyKind.REORDER, acked_out_of_order),
    (AnomalyKind.GAP, gap),
    (AnomalyKind.GAP, shifted),
    (AnomalyKind.SHORT_READ, short),
    (AnomalyKind.SHORT_READ, behind_its_version),
    (AnomalyKind.STALE, old_state(Asked.BOUNDED, BOUND + 0.01)),
    (AnomalyKind.STALE, old_state(Asked.NEWEST, 0.01)),
    (AnomalyKind.STALE, absent),
    (AnomalyKind.STALE, old_after_delete),
    (AnomalyKind.FUTURE_READ, future),
    (AnomalyKind.FUTURE_READ, future_unknown),
    (AnomalyKind.FUTURE_READ, later_message),
    (AnomalyKind.VERSION_NOT_GIVEN, asked_later),
    (AnomalyKind.VERSION_NOT_GIVEN, asked_other),
    (AnomalyKind.VERSION_NOT_GIVEN, said_lost),
    (AnomalyKind.TORN, lambda base: base.show(base.last.names[0], intact=False)),
    (AnomalyKind.TORN, lambda base: base.show("", session="", intact=False)),
    (AnomalyKind.LEAK, lambda base: base.show(base.last.names[0], session="talk")),
    (AnomalyKind.PHANTOM, lambda base: base.show("nobody's")),
    (AnomalyKind.PHANTOM, removed),
    (AnomalyKind.AFTER_REFUSAL, lambda base: base.extend(base.refused.names[0])),
    (AnomalyKind.PARTIAL_APPEND, partial),
    (AnomalyKind.PARTIAL_APPEND, before_unknown),
    (AnomalyKind.REPLAY_MISMATCH, replay),
    (AnomalyKind.DIVERGENCE, one_more_tag),
    (AnomalyKind.DIVERGENCE, two_at_one_seq),
    (AnomalyKind.DIVERGENCE, not_its_condition),
]


def names_of(plants: list[tuple[AnomalyKind, Plant]]) -> list[str]:
    """Name the cases."""
    return [f"{kind}-{plant.__name__}" for kind, plant in plants]


@pytest.mark.parametrize(("kind", "plant"), PLANTS, ids=names_of(PLANTS))
def test_planted(kind: AnomalyKind, plant: Plant) -> None:
    """One anomaly in a legal history is found, as what it is, in its session, and nothing else."""
    base = Base()
    assert check_history(base.history, BOUND).anomalies == ()
    plant(base)
    found = check_history(base.history, BOUND).anomalies
    assert {(anomaly.kind, anomaly.session) for anomaly in found} == {(kind, "chat")}
    assert all("\n" not in anomaly.text for anomaly in found)


def test_every_kind_is_planted() -> None:
    """No kind of anomaly is left out above."""
    assert {kind for kind, _ in PLANTS} == set(AnomalyKind)


def test_partial_for_good() -> None:
    """An append of which the store kept a part is found, beside the message that is lost."""
    base = Base()
    partial_for_good(base)
    found = check_history(base.history, BOUND).anomalies
    assert {anomaly.kind for anomaly in found} == {
        AnomalyKind.PARTIAL_APPEND,
        AnomalyKind.LOST_APPEND,
    }


@pytest.mark.parametrize("plant", [lost_session, lost_by_version])
def test_allowed_loss(plant: Plant) -> None:
    """What a fault may take is a loss, no anomaly; one that came before excuses nothing."""
    base = Base()
    plant(base)
    fault = Fault("flush", base.history.reads[-1].done + 5, 100.0, may_lose=True)
    history: History = replace(base.history, faults=[fault])
    verdict = check_history(history, BOUND)
    assert verdict.anomalies == ()
    assert base.after in [loss.write for loss in verdict.losses]
    assert {loss.fault for loss in verdict.losses} == {"flush"}
    early = replace(base.history, faults=[Fault("flush", 0.0, 0.1, may_lose=True)])
    assert check_history(early, BOUND).anomalies != ()
    harmless = replace(base.history, faults=[replace(fault, may_lose=False)])
    assert check_history(harmless, BOUND).anomalies != ()


@pytest.mark.parametrize("plant", [lost_last, lost_inside])
def test_hidden_loss(plant: Plant) -> None:
    """A loss that the version does not show is an anomaly even where a fault may lose."""
    base = Base()
    plant(base)
    history = replace(base.history, faults=[Fault("flush", 90.0, 100.0, may_lose=True)])
    found = check_history(history, BOUND).anomalies
    assert {anomaly.kind for anomaly in found} == {AnomalyKind.LOST_APPEND}


def test_staleness() -> None:
    """An answer within the bound is no anomaly, and its age is told: since the ack it missed."""
    base = Base()
    old_state(Asked.BOUNDED, 0.5)(base)
    verdict = check_history(base.history, BOUND)
    assert verdict.anomalies == ()
    told = [stale for stale in verdict.staleness if stale.read is base.history.reads[-1]]
    assert [round(stale.seconds, 6) for stale in told] == [0.5]


def test_expiry() -> None:
    """A session that had a time to live may be gone."""
    base = Base()
    lost_session(base)
    at = base.history.writes.index(base.after)
    base.history.writes[at] = replace(base.after, ttl_seconds=5.0)
    assert check_history(base.history, BOUND).anomalies == ()


def test_empty() -> None:
    """Of nothing there is nothing to say."""
    verdict = check_history(History(), BOUND)
    assert (verdict.anomalies, verdict.staleness, verdict.losses) == ((), (), ())
    read = Read("chat", "c1", "w1", 1.0, 2.0, Asked.NEWEST, Answer.ABSENT)
    assert check_history(History(reads=[read]), BOUND) == verdict
