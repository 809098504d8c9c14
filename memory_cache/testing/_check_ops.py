"""From writes to operations: resends joined, outcomes settled."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf

from memory_cache._types import Version
from memory_cache.testing._verdict import Anomaly, AnomalyKind, Loss, Staleness
from memory_cache.testing.history import Applied, Fault, Read, Write, WriteKind

_NAMES_SHOWN = 6
_MILLISECOND = 0.001
"""The store counts a time to live from the beginning of the millisecond it is in."""

parse = lru_cache(maxsize=1 << 17)(Version.parse)


@dataclass(slots=True, eq=False)
class Op:
    """
    One change, however often it was sent.

    It was executed, if it was, between ``sent`` and ``done``: infinity if nobody knows.
    """

    write: Write
    sent: float
    done: float
    applied: Applied
    version: Version | None
    start: int | None

    @property
    def num(self) -> int:
        """Its place in its history; only of one that has a version."""
        assert self.version is not None
        return self.version.num

    @property
    def end(self) -> int:
        """The seq after its last message; only of an append that has a start."""
        assert self.start is not None
        return self.start + len(self.write.names)

    @property
    def placed(self) -> bool:
        """Whether its answer says where it stands."""
        return self.version is not None and (
            self.start is not None or self.write.kind is not WriteKind.APPEND
        )


@dataclass(slots=True)
class Scene:
    """
    One session: what was done to it, and what was found out about it.

    Of PUTs ``loose`` are those that nobody was told of, ``movable`` all that ``may_repeat``.
    ``undone`` was refused across a fault, which may have taken what was executed at first.
    ``bound`` is T, in seconds.
    """

    session: str
    ops: list[Op]
    may_lose: Sequence[Fault]
    bound: float
    undone: list[Op] = field(default_factory=list)
    by_name: dict[str, list[Op]] = field(default_factory=dict)
    loose_puts: list[Op] = field(default_factory=list)
    movable_puts: list[Op] = field(default_factory=list)
    places: dict[Op, int] = field(default_factory=dict)
    anomalies: list[Anomaly] = field(default_factory=list)
    staleness: list[Staleness] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)

    def excuse(self, since: float, until: float = inf) -> Fault | None:
        """Return a fault of these times that may take acknowledged writes with it."""
        return next((f for f in self.may_lose if f.began <= until and f.ended >= since), None)

    def may_repeat(self, op: Op) -> bool:
        """
        Whether a change may stand where no answer said: nobody told, or a fault may have lost it.

        A worker that is not answered sends again. If the store was set back in between, the
        change was made twice, and who asked was told of the second time.
        """
        if op.applied is Applied.NO:
            return False
        return not op.placed or self.excuse(op.sent, op.done) is not None

    def undoes(self, answer: Read) -> Iterator[Op]:
        """
        Yield changes that an answer may show although they were refused later.

        An attempt was executed, and a fault took it and its record before the reply was told. Sent
        again, it is refused. Who had seen it may show it for T (``bound``) after that, no longer.
        """
        for op in self.undone:
            assert op.write.done is not None, "who is refused is told so"
            if op.sent <= answer.done and answer.sent <= op.write.done + self.bound:
                yield op

    def report(self, kind: AnomalyKind, *parts: object) -> None:
        """Add an anomaly; the parts are what its line of text is made of."""
        self.anomalies.append(Anomaly(kind, self.session, " ".join(map(_told, parts))))

    def lose(self, op: Op, why: str) -> None:
        """Note that an acknowledged change is gone: a loss if a fault allows it."""
        fault = self.excuse(op.sent)
        if fault is None:
            self.report(AnomalyKind.LOST_APPEND, op, why)
        else:
            self.losses.append(Loss(op.write, op.write.names, fault.kind))


def scene_of(
    session: str, writes: Iterable[Write], may_lose: Sequence[Fault], bound: float
) -> Scene:
    """Join the resends of each operation, and see that these agree."""
    scene = Scene(session, [], may_lose, bound)
    resent = defaultdict[str, list[Write]](list)
    for write in writes:
        if write.operation_id is None:
            scene.ops.append(_op(write, [write]))
        else:
            resent[write.operation_id].append(write)
    for sends in resent.values():
        scene.ops += _joined(scene, sends)
    scene.ops += [_expiry(op) for op in scene.ops if op.write.ttl_seconds is not None]
    for op in scene.ops:
        done = op.write.done
        if op.applied is Applied.NO and done is not None and scene.excuse(op.sent, done):
            scene.undone.append(op)
        if op.write.kind is WriteKind.PUT and scene.may_repeat(op):
            scene.movable_puts.append(op)
            if not op.placed:
                scene.loose_puts.append(op)
        for name in op.write.names:
            scene.by_name.setdefault(name, []).append(op)
    return scene


def _joined(scene: Scene, sends: list[Write]) -> list[Op]:
    """Return the operation; several, if a fault may have lost it, so that it was done again."""
    results = defaultdict[tuple[str | None, int | None], list[Write]](list)
    for send in sends:
        if send.applied is Applied.YES:
            results[send.version, send.start].append(send)
    told = [some for some in results.values() if some[0].version is not None]
    until = max(inf if send.done is None else send.done for send in sends)
    if len(sends) > 1 and scene.excuse(min(send.sent for send in sends), until):
        return _apart(sends, told)
    if len(told) > 1:
        first, other = told[0][0], told[1][0]
        scene.report(AnomalyKind.REPLAY_MISMATCH, first, "has another result in", other)
    return [_op(told[0][0] if told else sends[0], sends)]


def _apart(sends: list[Write], told: list[list[Write]]) -> list[Op]:
    """Return one operation for each result, and one for each send that may have had its own."""
    # A result may be that of an earlier send, whose reply was lost.
    unanswered = [send for send in sends if send.applied is not Applied.YES]
    ops = [_op(some[0], [*some, *unanswered]) for some in told]
    alone = [send for send in sends if send.version is None and not send.replayed]
    return ops + [_op(send, [send]) for send in alone]


def _expiry(op: Op) -> Op:
    """Return the DELETE, known to nobody, that a time to live may come to."""
    sent = op.sent + (op.write.ttl_seconds or 0.0) - _MILLISECOND
    write = Write(WriteKind.DELETE, op.write.session, "", "store", sent, None, Applied.UNKNOWN)
    return Op(write, sent, inf, Applied.UNKNOWN, None, None)


def _op(write: Write, sends: list[Write]) -> Op:
    applied = write.applied
    if len(sends) > 1:
        outcomes = {send.applied for send in sends}
        applied = next(a for a in (Applied.YES, Applied.UNKNOWN, Applied.NO) if a in outcomes)
    acked = applied is Applied.YES
    ends = [send.done for send in sends if send.applied is applied and send.done is not None]
    return Op(
        write=write,
        sent=min(send.sent for send in sends),
        done=min(ends) if acked and ends else inf,
        applied=applied,
        version=parse(write.version) if acked and write.version else None,
        start=write.start if acked else None,
    )


def _told(part: object) -> str:
    match part:
        case Op():
            return _told(part.write)
        case Write():
            done = "given up" if part.done is None else f"{part.done:.6f}"
            names = ",".join(part.names[:_NAMES_SHOWN]) + "…" * (len(part.names) > _NAMES_SHOWN)
            return (
                f"[{part.kind} {names} by {part.client} on {part.worker}, {part.sent:.6f}–{done}, "
                f"applied {part.applied}, version {part.version}, start {part.start}]"
            )
        case Read():
            return (
                f"[{part.asked} read by {part.client} on {part.worker}, {part.sent:.6f}–"
                f"{part.done:.6f}, {part.answer} {part.version} seqs {part.start}–{part.next} of "
                f"{part.first}–{part.next} from {part.tier or '?'}]"
            )
        case _:
            return str(part)
