"""
The sweep over one history: replay its changes in order, hold each answer against what it must show.

What is known of the transcript is a run of names with holes. A hole is where an append stands
whose client does not know that it was applied; the first answer that shows it fills it. A PUT
whose client does not know begins a new transcript where an answer needs that to be explained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf

from memory_cache.testing._check_blame import Expected, blame
from memory_cache.testing._check_lines import shows
from memory_cache.testing._check_ops import Op, Scene, parse
from memory_cache.testing._verdict import AnomalyKind
from memory_cache.testing.history import Applied, Read, WriteKind


@dataclass(slots=True)
class Known:
    """
    What is known of a transcript.

    Attributes:
        head: the last PUT's messages; None if it is one of those nobody knows of.
        base: the seq of the first message of all; None until an answer says.
        low: the seq of the first of ``names``; None while there are none.
        names: what stands from ``low`` on; None is a hole.
        is_open: an earlier reign left messages that only answers tell.
        tail: the acknowledged appends since the last PUT, in order.
    """

    head: tuple[str, ...] | None = ()
    base: int | None = None
    low: int | None = None
    names: list[str | None] = field(default_factory=list)
    is_open: bool = False
    tail: list[Op] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The seq after the last message that is known."""
        return (self.low or 0) + len(self.names)

    def append(self, op: Op) -> bool:
        """Add an append where its answer says; False: something stands there."""
        assert op.start is not None
        if self.low is None:
            self.low = op.start
        elif op.start < self.end:
            return False
        self.names += [None] * (op.start - self.end)
        self.names += op.write.names
        self.tail.append(op)
        return True

    def settled(self, first: int) -> "Known | None":
        """Return what is known once the transcript begins at ``first``; None: it cannot."""
        if self.base is not None or self.head is None:
            return self if self.base in (None, first) else None
        end = first + len(self.head)
        if self.low is not None and self.low < end:
            return None
        holes = [None] * (self.low - end) if self.low is not None else []
        return replace(self, base=first, low=first, names=[*self.head, *holes, *self.names])


class Sweep:
    """Judges the answers of one history."""

    def __init__(self, scene: Scene, ops: Sequence[Op], *, whole: bool) -> None:
        """Start with nothing, for a session's first message is seq 0; unless not ``whole``."""
        self._scene = scene
        self._ops = ops
        self._known = Known(base=0, low=0) if whole else Known(head=None, is_open=True)
        # Of appends whose clients do not know: one applied in another history was applied, unless
        # that history was lost.
        self._places = dict[Op, int]() if scene.may_lose else scene.places
        self._puts = scene.movable_puts
        self._recent = list[Op]()  # acknowledged appends since the last acknowledged PUT

    def judge(self, pages: Sequence[Read]) -> None:
        """Report what is wrong; ``pages`` are in the order of their versions' numbers."""
        latest = -inf
        at = 0
        for page in pages:
            num = parse(page.version or "").num
            while at < len(self._ops) and self._ops[at].num <= num:
                latest = self._change(self._ops[at], latest)
                at += 1
            if latest > page.done:
                newest = max(self._ops[:at], key=lambda op: op.sent)
                self._scene.report(AnomalyKind.FUTURE_READ, page, "is after", newest)
                continue
            self._page(page, at)
        for op in self._ops[at:]:
            latest = self._change(op, latest)

    def _change(self, op: Op, latest: float) -> float:
        """Apply an acknowledged change; ``latest`` is when the last of those before was sent."""
        if op.done < latest:
            self._scene.report(
                AnomalyKind.REORDER, op, "was done before one was sent that stands before it"
            )
        if op.write.kind is WriteKind.PUT:
            self._known = Known(head=op.write.names)
            self._recent = []
        elif op.write.kind is WriteKind.APPEND and op.start is not None:
            self._append(op)
        return max(latest, op.sent)

    def _append(self, op: Op) -> None:
        self._recent.append(op)
        if self._known.append(op):
            return
        edited = any(put.sent <= op.done for put in self._puts)
        if not edited:
            kind = AnomalyKind.DIVERGENCE
            self._scene.report(kind, op, f"stands where others do: {self._known.end} was next")
        self._known = Known(head=None)
        self._known.append(op)

    def _page(self, page: Read, at: int) -> None:
        got = tuple([sighting.name for sighting in page.sightings])
        whole = len(got) == page.next - page.start and page.start >= page.first
        if page.limit is None:
            whole = whole and page.start == page.first
        else:
            whole = whole and page.start <= max(page.first, page.next - page.limit)
        session = self._scene.session
        for sighting in page.sightings:
            if sighting.session != session or not sighting.intact:
                whole = False
        if whole and self._fits(self._known, page, got):
            return
        # Not each once only: a page that shows none of its messages does not tell which it was.
        if not (whole and any(self._explains(put, page, got) for put in self._puts)):
            self._blame(page, at)

    def _blame(self, page: Read, at: int) -> None:
        known = self._known.settled(page.first) or self._known
        expected = dict(enumerate(known.names, known.low or 0))
        moved = known.base not in (None, page.first)
        blame(
            self._scene, page, Expected(expected, moved, known.tail, self._places, self._ops[:at])
        )

    def _explains(self, put: Op, page: Read, got: tuple[str, ...]) -> bool:
        """Whether the answer shows this PUT, and since then what it must; then that is known."""
        if put.sent > page.done:
            return False
        end = page.first + len(put.write.names)
        since, next_ = list[Op](), page.next
        for op in reversed(self._recent):
            assert op.start is not None
            if not op.write.names:
                continue  # shows nothing: nobody knows whether it came before the PUT
            if op.start < end or op.end > next_ or op.done < put.sent or not shows(page, op):
                break
            if op.end <= page.start:
                break  # out of sight: nor of this one
            since.append(op)
            next_ = op.start
        known = Known(head=put.write.names)
        for op in reversed(since):
            known.append(op)
        return self._fits(known, page, got)

    def _fits(self, known: Known, page: Read, got: tuple[str, ...]) -> bool:
        """Whether the answer shows all that is known, and else only what may be; then learn it."""
        settled = known.settled(page.first)
        if settled is not None and settled.is_open:
            settled = self._opened(settled, page, got)
        if settled is None or settled.low is None:
            return False
        low, from_ = settled.low, page.start - settled.low
        if from_ < 0 or settled.end > page.next:
            return False
        if tuple(settled.names[from_:]) == got:
            self._known = settled
            return True
        trial = replace(settled, names=settled.names + [None] * (page.next - settled.end))
        places = dict[Op, int]()
        for seq, name in enumerate(got, page.start):
            held = trial.names[seq - low]
            if held is None and not self._fill(trial, page, got, seq, places):
                return False
            if held is not None and held != name:
                return False
        self._known = trial
        self._places |= places
        return True

    def _opened(self, known: Known, page: Read, got: tuple[str, ...]) -> Known | None:
        """Learn what an earlier reign left below what is known; None: nobody had sent that."""
        low = page.next if known.low is None else min(known.low, page.next)
        left = got[: max(low - page.start, 0)]
        for name in left:
            if not any(
                op.applied is not Applied.NO and op.sent <= page.done
                for op in self._scene.by_name.get(name, ())
            ):
                return None
        names = [*left, *known.names]
        return replace(known, low=low - len(left), names=names)

    def _fill(
        self, trial: Known, page: Read, got: tuple[str, ...], seq: int, places: dict[Op, int]
    ) -> bool:
        """Put an append that may have been applied into the hole at ``seq``, whole."""
        assert trial.low is not None
        for op in self._scene.by_name.get(got[seq - page.start], ()):
            names = op.write.names
            start = seq - names.index(got[seq - page.start])
            if (
                op.write.kind is not WriteKind.APPEND
                or op.applied is Applied.NO
                or (op.placed and not self._stands(op, start))
                or op.sent > page.done
                or self._places.get(op, start) != start
                or start < trial.low
                or start + len(names) > page.next
                or any(tail.done < op.sent for tail in _after(trial.tail, start))
            ):
                continue
            at = start - trial.low
            if any(trial.names[at + i] not in (None, name) for i, name in enumerate(names)):
                continue
            here = max(start, page.start)
            seen = got[here - page.start : start + len(names) - page.start]
            if seen != names[here - start :]:
                continue
            trial.names[at : at + len(names)] = names
            places[op] = start
            return True
        return False

    def _stands(self, op: Op, start: int) -> bool:
        """Whether an append whose place was told may stand at ``start`` in this history."""
        return op.start == start if op in self._recent else self._scene.may_repeat(op)


def _after(tail: Sequence[Op], start: int) -> list[Op]:
    """Return the acknowledged appends that stand after a seq."""
    after = list[Op]()
    for op in reversed(tail):
        if op.start is None or op.start <= start:
            break
        after.append(op)
    return after
