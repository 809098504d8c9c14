"""What an answer must be, judged by everything that the server has been."""

from collections import defaultdict

from memory_cache import Page, SessionKey, Version
from memory_cache.testing._record import Record
from memory_cache.testing._server import InMemoryServer

_MICROSECONDS = 1_000_000


class Oracle:
    """
    Knows every state of every session, and from when to when it was current.

    What a client sees is judged by ``check_history``; this knows more, and is as exact as one can
    be: an answer is a run of one state, which was not over for longer than was asked for.
    """

    def __init__(self, server: InMemoryServer) -> None:
        """Judge by this server."""
        self._server = server
        self._written: defaultdict[tuple[str, SessionKey], int] = defaultdict(int)
        self._untold: dict[SessionKey, set[int]] = defaultdict(set)
        self._bodies: dict[str, list[bytes]] = {}

    def newest(self, key: SessionKey) -> int:
        """Return which of a session's states is current, as far as anybody was told."""
        index = len(self._server.history(key)) - 1
        while index in self._untold[key]:
            index -= 1
        return index

    def written(self, worker: str, key: SessionKey) -> int:
        """Return the oldest state that a worker may still show: its last write."""
        return self._written[worker, key]

    def evict(self, key: SessionKey) -> None:
        """Let the server lose a session; nobody is told, so what it was is not stale."""
        if self._server.record(key) is not None:
            self._server.evict(key)
            self._untold[key].add(len(self._server.history(key)) - 1)

    def acknowledged(self, worker: str, key: SessionKey, version: Version | None) -> None:
        """Note that a worker was told of a change, which may be an old one if it asked again."""
        for index, moment in enumerate(self._server.history(key)):
            if moment.record is not None and moment.record.header.version == version:
                self._written[worker, key] = max(self._written[worker, key], index)
                return  # it may be met again, where a failover took back what came after it

    def fault(self, page: Page, *, since: int = 0, at: float = 0.0) -> str | None:
        """
        Say what is wrong with an answer; None: nothing.

        ``since``: it must be of this state or a later one; ``at``: of one that was current at this
        time (microseconds since the epoch) or later.
        """
        moments = self._server.history(page.key)
        closest = None
        for index in range(len(moments) - 1, -1, -1):
            record = moments[index].record
            if not self._is(page, record):
                continue
            end = self._end(page.key, index)
            if index >= since and end >= at:
                return None
            if closest is None:
                closest = f"is state {index}, which was over at {self._seconds(end)}"
                if index < since:
                    closest += f"; state {since} or a later one is due"
        return closest or f"was never so: {page.version} [{page.start}, {page.end})"

    def never_held(self, key: SessionKey, version: Version, since: int) -> bool:
        """Whether in one state since ``since`` at least the session did not have a version."""
        records = [moment.record for moment in self._server.history(key)[since:]]
        return any(one is None or not one.header.holds(version) for one in records)

    def _seconds(self, wall: float) -> str:
        """Return a time as events have it."""
        clock = self._server.clock
        return f"{clock.now() + (wall - clock.wall()) / _MICROSECONDS:.6f}"

    def _end(self, key: SessionKey, index: int) -> float:
        moments = self._server.history(key)
        after = index + 1
        while after in self._untold[key]:
            after += 1
        end = float(moments[after].at) if after < len(moments) else float("inf")
        record = moments[index].record
        if record is not None and record.deadline >= 0:
            end = min(end, record.deadline * 1000.0)
        return end

    def _is(self, page: Page, record: Record | None) -> bool:
        if record is None or page.header is None:
            return page.header is None and record is None
        if page.header != record.header or page.fields_json != record.fields:
            return False
        held = self._stored(record)
        first = record.header.first
        told = [body for chunk in page.bodies for body in chunk.split(b"\n")]
        return told == held[page.start - first : page.end - first]

    def _stored(self, record: Record) -> list[bytes]:
        tag = record.header.tag
        if tag not in self._bodies:
            self._bodies[tag] = [message.body for message in record.messages()]
        return self._bodies[tag]
