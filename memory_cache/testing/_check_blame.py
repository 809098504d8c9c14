"""Say what is wrong with an answer that does not show what it must."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple

from memory_cache.testing._check_ops import Op, Scene
from memory_cache.testing._verdict import AnomalyKind
from memory_cache.testing.history import Applied, Read, WriteKind


class Expected(NamedTuple):
    """
    What an answer had to show.

    Attributes:
        names: by seq; None is a hole.
        moved: the answer begins elsewhere than the transcript, with no PUT that could have done it.
        tail: acknowledged appends since the last PUT.
        places: where appends were met whose clients do not know of them.
        past: all acknowledged changes that the answer's version holds.
    """

    names: Mapping[int, str | None]
    moved: bool
    tail: Sequence[Op]
    places: Mapping[Op, int]
    past: Sequence[Op]


def blame(scene: Scene, page: Read, expected: Expected) -> None:
    """Report what is wrong: the first of these rules that finds something."""
    if any(_shows(scene, page, op) for op in scene.undoes(page)):
        return
    for rule in (_foreign, _misplaced, _missing_for_good, _short, _order, _partial, _fork):
        found = defaultdict[AnomalyKind, list[str]](list)
        for kind, what in rule(scene, page, expected):
            found[kind].append(what)
        for kind, all_ in found.items():
            scene.report(kind, page, "shows", *all_[:8])
        if found:
            return
    scene.report(AnomalyKind.GAP, page, "does not begin or end where its version does")


def _shows(scene: Scene, page: Read, undone: Op) -> bool:
    """Whether an answer may be what a change made that was lost and then refused."""
    shown = {sighting.name for sighting in page.sightings}
    if undone.write.kind is not WriteKind.PUT:
        return not shown.isdisjoint(undone.write.names)
    rest = shown.difference(undone.write.names)
    return all(any(op.sent >= undone.sent for op in scene.by_name.get(n, ())) for n in rest)


Found = Iterator[tuple[AnomalyKind, str]]


def _foreign(scene: Scene, page: Read, _: Expected) -> Found:
    """Find messages that no state of this session may show."""
    for seq, sighting in enumerate(page.sightings, page.start):
        ops = scene.by_name.get(sighting.name, ())
        sent = [op for op in ops if op.applied is not Applied.NO]
        what = f"{sighting.name!r} at {seq}"
        if not sighting.intact:
            yield AnomalyKind.TORN, what
        elif sighting.session != scene.session:
            yield AnomalyKind.LEAK, f"{what} of session {sighting.session!r}"
        elif not ops:
            yield AnomalyKind.PHANTOM, what
        elif not sent:
            yield AnomalyKind.AFTER_REFUSAL, what
        elif all(op.sent > page.done for op in sent):
            yield AnomalyKind.FUTURE_READ, what


def _misplaced(scene: Scene, page: Read, expected: Expected) -> Found:
    """Find messages of other states: of later ones, and what was removed since."""
    standing, past = set(expected.names.values()), set(expected.past)
    for seq, sighting in enumerate(page.sightings, page.start):
        name = sighting.name
        ops = [op for op in scene.by_name[name] if op.applied is not Applied.NO]
        if name in standing or any(not op.placed and op not in expected.places for op in ops):
            continue
        if any(op in expected.places for op in ops):
            yield AnomalyKind.DUPLICATE, f"{name!r} at {seq}, applied before and removed"
        elif any(op in past for op in ops):
            yield AnomalyKind.PHANTOM, f"{name!r} at {seq}, which was removed"
        elif any(_inc(op) == _inc(page) for op in ops):
            yield AnomalyKind.FUTURE_READ, f"{name!r} at {seq}, of a later version"
        else:
            yield AnomalyKind.PHANTOM, f"{name!r} at {seq}, of another incarnation"


def _inc(of: Op | Read) -> str | None:
    """Return the incarnation that a change or an answer belongs to."""
    if isinstance(of, Op):
        return of.version.inc if of.version else None
    return of.version and of.version.partition(".")[0]


def _missing_for_good(_: Scene, page: Read, expected: Expected) -> Found:
    """Find what the store does not have in the end."""
    if page.sent < inf:
        return
    shown = {sighting.name for sighting in page.sightings}
    for op in expected.tail:
        missing = [name for name in op.write.names if name not in shown]
        if missing and len(missing) < len(op.write.names):
            yield AnomalyKind.PARTIAL_APPEND, f"all of an append but {missing}"
    for seq, name in expected.names.items():
        if name is not None and name not in shown:
            yield AnomalyKind.LOST_APPEND, f"no {name!r}, acknowledged or seen at {seq}"


def _short(_: Scene, page: Read, expected: Expected) -> Found:
    """Find answers that are a piece of what they had to be."""
    got = [sighting.name for sighting in page.sightings]
    end = max(expected.names, default=page.next - 1) + 1
    wanted = page.first if page.limit is None else max(page.first, page.next - page.limit)
    begins = len(got) < page.next - page.start or page.start > wanted or end > page.next
    for start in {page.start, page.next - len(got)}:
        slots = (expected.names.get(seq) for seq in range(start, start + len(got)))
        if begins and all(slot in (None, name) for slot, name in zip(slots, got, strict=True)):
            yield AnomalyKind.SHORT_READ, f"{len(got)} messages; known up to {end}, asked {wanted}"
            return


def _order(scene: Scene, page: Read, expected: Expected) -> Found:
    """Find messages that are there twice, or not in the order they have."""
    place = {name: seq for seq, name in expected.names.items() if name is not None}
    counts = Counter(sighting.name for sighting in page.sightings)
    usual = Counter(expected.names.values())
    latest, done = -1, inf
    for seq, sighting in reversed(list(enumerate(page.sightings, page.start))):
        ops = scene.by_name[sighting.name]
        appends = [op for op in ops if op.write.kind is WriteKind.APPEND]
        if appends and all(op.sent > done for op in appends):
            yield AnomalyKind.REORDER, f"{sighting.name!r} at {seq} before what was done by {done}"
        done = min([done, *(op.done for op in appends)])
    for seq, sighting in enumerate(page.sightings, page.start):
        name = sighting.name
        if counts[name] > max(1, usual[name]):
            yield AnomalyKind.DUPLICATE, f"{name!r} at {seq}, {counts[name]} times in all"
        elif name in place and place[name] < latest:
            away = place[name] < page.start
            kind = AnomalyKind.DUPLICATE if away else AnomalyKind.REORDER
            yield kind, f"{name!r} at {seq}, whose place is {place[name]}"
        latest = max(latest, place.get(name, seq))


def _partial(scene: Scene, page: Read, _: Expected) -> Found:
    """Find appends of which only a part is there."""
    shown = {sighting.name for sighting in page.sightings}
    for seq, sighting in enumerate(page.sightings, page.start):
        for op in scene.by_name[sighting.name]:
            if op.write.kind is WriteKind.APPEND and len(op.write.names) > 1:
                start = seq - op.write.names.index(sighting.name)
                visible = op.write.names[max(0, page.start - start) :]
                missing = [name for name in visible if name not in shown]
                if missing:
                    yield AnomalyKind.PARTIAL_APPEND, f"{sighting.name!r} without {missing}"


def _fork(_: Scene, page: Read, expected: Expected) -> Found:
    """Find what stands in the place of something else, or after a hole."""
    shown = {sighting.name for sighting in page.sightings}
    place = {name for name in expected.names.values() if name is not None}
    if expected.moved:
        yield AnomalyKind.GAP, f"{page.first} as its first seq, with no PUT that moved it"
    for seq, sighting in enumerate(page.sightings, page.start):
        held = expected.names.get(seq)
        if held in (None, sighting.name):
            continue
        if held in shown or sighting.name in place or len(page.sightings) < page.next - page.start:
            yield AnomalyKind.GAP, f"{sighting.name!r} at {seq}, in the place of {held!r}"
        else:
            yield AnomalyKind.DIVERGENCE, f"{sighting.name!r} at {seq}, in the place of {held!r}"
