"""
The histories of a session: one line per incarnation, cut by reign where faults may lose.

Where nothing may be lost the numbers of one incarnation are one order, whichever primary gave
them. Where a failover may have lost some, nobody can tell from a version with which number the
next reign began: each reign is a branch then, and begins with what its answers show.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from memory_cache._types import Version
from memory_cache.testing._check_ops import Op, Scene, parse
from memory_cache.testing.history import Answer, Applied, Read, WriteKind


@dataclass(slots=True, eq=False)
class Branch:
    """Changes and answers of one history, by number; ``whole``: from the session's making on."""

    ops: list[Op]
    pages: list[Read]
    whole: bool


@dataclass(slots=True, eq=False)
class Line:
    """
    One incarnation: its branch by era, acknowledged changes that did not survive, answers.

    ``end``: what the store has in the end, if it is of this incarnation.
    """

    inc: str
    by_era: dict[str, Branch]
    ops: list[Op]
    pages: list[Read]
    lost: list[Op] = field(default_factory=list)
    end: Version | None = None

    @property
    def branches(self) -> list[Branch]:
        """All its histories."""
        return list({id(branch): branch for branch in self.by_era.values()}.values())

    def holds(self, given: Version, asked: Version, *, is_last: bool) -> bool:
        """
        Whether ``given`` is ``asked`` or may come after it in one history.

        ``is_last``: nothing that may lose a change came after the answer. What did may have taken
        both of them, unless ``given`` is in the history that there is in the end.
        """
        if asked.num >= given.num:
            return asked == given
        if asked.era == given.era or all(op.version != asked for op in self.lost):
            return True
        survives = self.end is not None and given.era == self.end.era
        return not is_last and not survives


def lines_of(scene: Scene, reads: Iterable[Read]) -> list[Line]:
    """Sort changes and answers into histories, and note what did not survive."""
    ops, pages = defaultdict[str, list[Op]](list), defaultdict[str, list[Read]](list)
    final: Read | None = None
    for op in scene.ops:
        if op.version is not None:
            ops[op.version.inc].append(op)
    for read in reads:
        if read.sent == inf:
            final = read
        if read.answer is Answer.PAGE and read.version is not None:
            pages[parse(read.version).inc].append(read)
    lines = [_line(scene, inc, ops[inc], pages[inc]) for inc in sorted(ops.keys() | pages.keys())]
    _note_lost(scene, lines, final)
    return lines


def _note_lost(scene: Scene, lines: list[Line], final: Read | None) -> None:
    """Report what was acknowledged and is not there in the end."""
    for line in lines:
        for op in line.lost:
            if op.write.kind is not WriteKind.DELETE:
                scene.lose(op, "does not stand in what the store has in the end")
        if final is not None and all(page is not final for page in line.pages):
            _check_gone(scene, line)
    if final is not None and all(op.write.kind is WriteKind.APPEND for op in scene.ops):
        shown = {sighting.name for sighting in final.sightings}
        for op in scene.ops:
            if op.applied is Applied.YES and not op.placed and not shown.issuperset(op.write.names):
                scene.lose(op, "is not there in the end")


def _line(scene: Scene, inc: str, ops: list[Op], pages: list[Read]) -> Line:
    ops.sort(key=lambda op: op.num)
    pages.sort(key=lambda page: (parse(page.version or "").num, page.sent))
    eras = {op.version.era for op in ops if op.version}
    eras |= {parse(page.version or "").era for page in pages}
    if len(eras) == 1 or not scene.may_lose:
        line = Line(inc, dict.fromkeys(eras, Branch(ops, pages, whole=True)), ops, pages)
    else:
        by_era = {era: Branch([], [], whole=False) for era in eras}
        for op in ops:
            by_era[op.version.era if op.version else ""].ops.append(op)
        for page in pages:
            by_era[parse(page.version or "").era].pages.append(page)
        line = Line(inc, by_era, ops, pages)
    final = next((page for page in pages if page.sent == inf), None)
    if final is not None:
        line.end = parse(final.version or "")
        line.lost = _lost(scene, line, final)
    return line


def _lost(scene: Scene, line: Line, final: Read) -> list[Op]:
    """Return the acknowledged changes that what the store has in the end does not hold."""
    end = parse(final.version or "")
    lost = [op for op in line.ops if op.num > end.num]
    if len(line.branches) == 1:
        return lost
    # Nothing that was edited away is lost; whether an edit came after is known of these only.
    edits = [op for op in line.ops if op.write.kind is not WriteKind.APPEND]
    last = max((op.num for op in edits), default=0)
    return [
        op
        for op in line.ops
        if op.num > end.num
        or (op.num > last and not scene.loose_puts and not shows(final, op))
        or (op.num == end.num and op.version != end)
    ]


def shows(page: Read, op: Op) -> bool:
    """Whether an answer has an append at its place, as far as it reaches back."""
    if op.start is None:
        return True
    if op.end > page.next:
        return False
    at = max(page.start, op.start)
    seen = page.sightings[at - page.start : max(op.end - page.start, 0)]
    return all(s.name == n for s, n in zip(seen, op.write.names[at - op.start :], strict=False))


def _check_gone(scene: Scene, line: Line) -> None:
    """See that a DELETE or a fault explains an incarnation that is not there in the end."""
    kept = [op for op in line.ops if op.write.kind is not WriteKind.DELETE]
    if not kept:
        return
    latest = max(op.sent for op in kept)
    for op in scene.ops:
        if op.write.kind is WriteKind.DELETE and op.applied is not Applied.NO:
            if op.version is not None and op.version.inc == line.inc:
                return
            if op.version is None and op.done >= latest:
                return
    at = max((i for i, op in enumerate(kept) if op.write.kind is WriteKind.PUT), default=0)
    for op in kept[at:]:
        scene.lose(op, "is gone with its session, which nobody deleted")
