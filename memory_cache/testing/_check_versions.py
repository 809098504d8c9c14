"""What versions say by themselves: one content each, no forks, and those asked for are given."""

from collections.abc import Iterable, Sequence
from math import inf

from memory_cache._types import Version
from memory_cache.testing._check_lines import Line
from memory_cache.testing._check_ops import Op, Scene, parse
from memory_cache.testing._verdict import AnomalyKind
from memory_cache.testing.history import Answer, Applied, Asked, Read, WriteKind


def check_versions(scene: Scene, lines: Sequence[Line], reads: Iterable[Read]) -> None:
    """Report forks, and answers to AT_LEAST that do not hold what was asked for."""
    by_inc = {line.inc: line for line in lines}
    for each in lines:
        _check_forks(scene, each)
    for op in scene.ops:
        _check_condition(scene, op)
    for read in reads:
        if read.asked is not Asked.AT_LEAST or read.asked_version is None:
            continue
        asked = parse(read.asked_version)
        line = by_inc.get(asked.inc)
        if read.answer is Answer.LOST and line is not None and _has(scene, line, asked, read):
            scene.report(AnomalyKind.VERSION_NOT_GIVEN, read, "lost", asked, ", but it is there")
        if read.answer is Answer.PAGE and read.version is not None:
            given = parse(read.version)
            is_last = scene.excuse(read.sent) is None
            held = (
                line is not None
                and given.inc == asked.inc
                and line.holds(given, asked, is_last=is_last)
            )
            if not held:
                scene.report(AnomalyKind.VERSION_NOT_GIVEN, read, "does not hold", asked)


def _check_forks(scene: Scene, line: Line) -> None:
    """See that a version is one state: one tag for its number, one operation, one range."""
    parted = len(line.branches) > 1
    tags = dict[tuple[str, int], tuple[str, object]]()
    ranges = dict[Version, Read]()
    owners = dict[Version, Op]()
    seen: list[tuple[Version | None, Op | Read]] = [(op.version, op) for op in line.ops]
    seen += [(parse(page.version or ""), page) for page in line.pages]
    for version, by in seen:
        assert version is not None
        era = version.era if parted else ""
        tag, other = tags.setdefault((era, version.num), (version.tag, by))
        if tag != version.tag:
            scene.report(AnomalyKind.DIVERGENCE, by, "has the number, not the tag, of", other)
        if isinstance(by, Op):
            owner = owners.setdefault(version, by)
            if owner is not by:
                scene.report(AnomalyKind.DIVERGENCE, by, "has the version of", owner)
            continue
        same = ranges.setdefault(version, by)
        if (same.first, same.next) != (by.first, by.next):
            scene.report(AnomalyKind.DIVERGENCE, by, "has another range than", same)


def _check_condition(scene: Scene, op: Op) -> None:
    """See that a change that was to be made on one version was made on it."""
    if op.version is None or op.write.if_version is None:
        return
    on = parse(op.write.if_version)
    if (on.inc, on.num + 1) != (op.version.inc, op.num):
        scene.report(AnomalyKind.DIVERGENCE, op, "was to be made on", on)


def _has(scene: Scene, line: Line, asked: Version, read: Read) -> bool:
    """Whether a version certainly stood when a read was asked."""
    ended = any(
        op.write.kind is WriteKind.DELETE and op.applied is not Applied.NO and op.sent <= read.done
        for op in scene.ops
    )
    known = any(op.version == asked and op.done < read.sent for op in line.ops)
    return known and not ended and not scene.excuse(-inf, read.done)
