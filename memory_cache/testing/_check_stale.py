"""How old answers are: the first acknowledged change that each of them misses."""

from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from math import inf

from memory_cache.testing._check_lines import Branch, Line
from memory_cache.testing._check_ops import Op, Scene, parse
from memory_cache.testing._verdict import AnomalyKind, Staleness
from memory_cache.testing.history import Answer, Applied, Asked, Read, WriteKind


class _Later:
    """Of each place in an order, the change that was done first of all that come after it."""

    def __init__(self, items: Sequence[tuple[float, Op]]) -> None:
        self._ops = [op for _, op in items]
        self._order = [place for place, _ in items]
        self._first = list[Op]()
        for op in reversed(self._ops):
            soonest = self._first[-1] if self._first else op
            self._first.append(op if op.done < soonest.done else soonest)
        self._first.reverse()

    def after(self, place: float, but: int | None = None) -> Op | None:
        """Return the one that was done first after a place, leaving out that at an index."""
        at = bisect_right(self._order, place)
        found = list[Op]()
        if but is not None and at <= but:
            found = self._ops[at:but]
            at = but + 1
        found += self._first[at : at + 1]
        return min(found, key=lambda op: op.done, default=None)


def check_stale(scene: Scene, lines: Sequence[Line], reads: Iterable[Read], bound: float) -> None:
    """Note how old each answer is, and report those that are older than they may be."""
    lost = {id(loss.write) for loss in scene.losses}
    kept = _Ages(scene, lines, lost)
    # What a fault took was still to be shown before the fault.
    whole = _Ages(scene, lines, set()) if lost else kept
    fault = min((fault.began for fault in scene.may_lose), default=inf)
    for read in reads:
        if read.sent == inf or read.answer not in (Answer.PAGE, Answer.ABSENT):
            continue
        missed = (whole if read.done < fault else kept).missed(read)
        if missed is None or missed.done >= read.sent:
            continue
        seconds = read.sent - missed.done
        allowed = {Asked.BOUNDED: bound, Asked.NEWEST: 0.0, Asked.AT_LEAST: inf}[read.asked]
        if seconds > allowed:
            if _excused(scene, lines, read, missed):
                # What it misses may have been gone: that is no age.
                continue
            scene.report(AnomalyKind.STALE, read, f"misses for {seconds:.6f} s", missed)
        scene.staleness.append(Staleness(read, seconds))


def _excused(scene: Scene, lines: Sequence[Line], read: Read, missed: Op) -> bool:
    """Whether a fault may have taken the change, or had two primaries reign at once."""
    version, made = parse(read.version) if read.version else None, missed.version
    built_on = -inf
    if version and made and (version.inc, version.era) == (made.inc, made.era):
        # What was built on after a fault had survived it, and that reign went on.
        later = (
            op.sent
            for line in lines
            for op in line.ops
            if line.inc == made.inc and op.version and op.version.era == made.era
            if op.num >= missed.num
        )
        built_on = max(later, default=-inf)
    since = max(missed.sent, built_on)
    return scene.excuse(since, read.done) is not None


class _Ages:
    """Which changes answers miss."""

    def __init__(self, scene: Scene, lines: Sequence[Line], lost: Container[int]) -> None:
        self._scene = scene
        self._lines = {line.inc: line for line in lines}
        ops = {
            branch: [op for op in branch.ops if id(op.write) not in lost]
            for line in lines
            for branch in line.branches
        }
        self._on = {branch: _Later([(op.num, op) for op in some]) for branch, some in ops.items()}
        self._made = {branch: _made(branch) for branch in ops}
        heads = [
            (max(op.sent for op in some), min(some, key=lambda op: op.done), branch)
            for branch, some in ops.items()
            if some
        ]
        heads.sort(key=lambda head: head[0])
        self._heads = _Later([(alive, op) for alive, op, _ in heads])
        self._own = {branch: at for at, (_, _, branch) in enumerate(heads)}
        self._deletes = [
            op
            for op in scene.ops
            if op.write.kind is WriteKind.DELETE and op.applied is not Applied.NO
        ]
        writes = [
            (op.sent, op)
            for op in scene.ops
            if op.write.kind is not WriteKind.DELETE
            and op.applied is Applied.YES
            and id(op.write) not in lost
        ]
        self._writes = _Later(sorted(writes, key=lambda item: item[0]))

    def missed(self, read: Read) -> Op | None:
        """Return the change acknowledged first that the answer certainly does not hold."""
        if read.answer is Answer.ABSENT or read.version is None:
            # Written after everything that may have removed the session by then. (What has one
            # and the same time, by a coarse clock, may have been in any order.)
            if any(op.write.kind is WriteKind.DELETE for op in self._scene.undoes(read)):
                return None
            removed = (op.done for op in self._deletes if op.sent <= read.done)
            return self._writes.after(max(removed, default=-inf))
        version = parse(read.version)
        branch = self._lines[version.inc].by_era[version.era]
        found = [self._on[branch].after(version.num)]
        # Histories do not overlap: another that lived after this one was made came later.
        made = self._made[branch]
        found.append(self._heads.after(made, but=self._own.get(branch)))
        found += [op for op in self._deletes if op.version is None and op.sent > made]
        return min((op for op in found if op), key=lambda op: op.done, default=None)


def _made(branch: Branch) -> float:
    """Return a time by which the history had begun."""
    return min([*(op.done for op in branch.ops), *(page.done for page in branch.pages)])
