"""
One checkpoint namespace of one thread as a log, read back from its end as far as need be.

A line is a checkpoint, or writes that belong to one. Lines are only ever added, so parts of a log
that were read one after the other belong together.
"""

from collections.abc import AsyncIterator
from typing import Any, Final, Self

import memory_cache as mc
from memory_cache.adapters._reading import reading

_FIRST_READ: Final = 64
_MOST: Final = 1000
WHAT: Final = "a thread of LangGraph"

Line = dict[str, Any]


class Log:
    """What has been read of a log: its end, at one version, and more when it is asked for."""

    def __init__(self, session: mc.Session, page: mc.Page) -> None:
        """Begin with the end of a log; see ``read``."""
        self.session = session
        self.version: mc.IfVersion = page.version or mc.ABSENT
        self.inc = page.version.inc if page.version else ""
        self._start = self._end = page.next
        self._lines: list[Line] = []
        self._places: dict[str, int] = {}
        self._writes: dict[str, list[int]] = {}
        self._older: str | None = None
        self._take(page)

    @classmethod
    async def read(cls, session: mc.Session) -> Self:
        """Read the end of a log."""
        return cls(session, await session.recent(_FIRST_READ, consistency=mc.NEWEST))

    async def find(self, checkpoint_id: str) -> int | None:
        """Return the seq of a checkpoint, the last one of this id; None: it is not there."""
        while checkpoint_id not in self._places:
            if not await self._more():
                return None
        return self._places[checkpoint_id]

    async def newest_first(self) -> AsyncIterator[str]:
        """Yield the ids of all checkpoints, the greatest first."""
        last: str | None = None
        while True:
            for each in sorted(self._places, reverse=True):
                if self._older is not None and each <= self._older:
                    break  # a greater one may be further back
                if last is None or each < last:
                    last = each
                    yield each
            if not await self._more():
                return

    async def line(self, seq: int) -> Line:
        """Return one line."""
        if type(seq) is not int or not 0 <= seq < self._end:
            raise mc.DamagedSessionError(f"what is stored cannot be read as {WHAT}")
        if seq >= self._start:
            return self._lines[seq - self._start]
        page = await self.session.page(after=seq - 1, limit=1, consistency=mc.NEWEST)
        self._check(page)
        (line,) = page.messages
        _checked(line)
        return line

    async def is_there(self) -> None:
        """
        See that the log goes on.

        Raises:
            TranscriptEditedError: it was deleted since we read it.
        """
        page = await self.session.recent(1, consistency=mc.NEWEST)
        self._check(page)

    async def writes(self, checkpoint_id: str) -> list[Line]:
        """Return the writes of a checkpoint that was found, in the order they came in."""
        line = await self.line(self._places[checkpoint_id])
        with reading(WHAT):
            seqs = sorted({*line["early"], *self._writes.get(checkpoint_id, [])})
        return [await self.line(seq) for seq in seqs]

    async def around(self, checkpoint_id: str) -> Line:
        """
        Return what the line of a new checkpoint says of those before it.

        ``top``: the greatest id before. ``early``: where its writes are that came before it, and
        ``waiting`` those of others that are yet to come.
        """
        while not self._places:
            if not await self._more():
                break
        top, waiting, seen = None, dict[str, list[int]](), -1
        if self._places:
            seen = max(self._places.values())
            line = await self.line(seen)
            top = max(line["checkpoint"], line["top"] or "")
            with reading(WHAT):
                waiting = {each: list(seqs) for each, seqs in line["waiting"].items()}
        for each, seqs in self._writes.items():
            came = [seq for seq in seqs if seq > seen]
            if came:
                waiting[each] = [*waiting.get(each, []), *came]
        early, last = waiting.pop(checkpoint_id, []), max(checkpoint_id, top or "")
        kept = {each: seqs for each, seqs in waiting.items() if each > last}
        return {"top": top, "early": early, "waiting": kept}

    async def _more(self) -> bool:
        """Read further back; False: there is nothing."""
        if self._start == 0:
            return False
        limit = min(4 * len(self._lines), _MOST)
        page = await self.session.page(before=self._start, limit=limit, consistency=mc.NEWEST)
        self._check(page)
        self._take(page)
        return True

    def _check(self, page: mc.Page) -> None:
        if page.version is None or page.version.inc != self.inc or not page.bodies:
            raise mc.TranscriptEditedError("the thread was deleted while it was read")

    def _take(self, page: mc.Page) -> None:
        lines = page.messages
        self._start -= len(lines)
        self._lines[:0] = lines
        for seq, line in reversed(list(enumerate(lines, self._start))):
            _checked(line)
            if "checkpoint" in line:
                self._places.setdefault(line["checkpoint"], seq)
                self._older = line["top"]
            else:
                self._writes.setdefault(line["writes"], []).append(seq)
        if page.first > 0 or (self._start == 0 and self._older is not None):
            raise mc.DamagedSessionError("the beginning of a thread of LangGraph is missing")


def _checked(line: Line) -> None:
    """
    See that a line is one; what its parts hold is looked at where they are used.

    Raises:
        DamagedSessionError: it is neither a checkpoint nor writes.
    """
    match line:
        case {
            "checkpoint": str(),
            "parent": str() | None,
            "top": str() | None,
            "early": list(),
            "waiting": dict(),
            "values": dict(),
            "past": dict(),
            "data": dict(),
            "metadata": dict(),
        }:
            return
        case {"writes": str(), "task_id": str(), "task_path": str(), "items": list()}:
            return
    raise mc.DamagedSessionError(f"what is stored cannot be read as {WHAT}")
