"""The in-memory server: what all workers share, and what may happen to it."""

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from memory_cache._delta import Delta, encode
from memory_cache._errors import OperationReusedError, TooLargeError, VersionMismatchError
from memory_cache._ports import (
    FOREVER,
    Clock,
    Condition,
    FenceReply,
    Outcome,
    Rewrite,
    Terms,
)
from memory_cache._types import Header, SessionKey, StoredMessage, Version
from memory_cache.testing import _record
from memory_cache.testing._link import Link
from memory_cache.testing._record import Record


class Moment(NamedTuple):
    """From ``at`` (microseconds since the epoch) on a session was this; None: not there."""

    at: int
    record: Record | None


@dataclass(frozen=True, slots=True)
class _Done:
    """The record of an operation."""

    fingerprint: str
    outcome: Outcome
    forget_at_ms: int


class _Undo(NamedTuple):
    """What a change replaced, so that a failover can lose it."""

    key: SessionKey
    record: Record | None
    operation: str


class InMemoryServer:
    """
    Sessions, operation records, index and subscriptions, with the semantics of the scripts.

    Calls are carried out one at a time and whole. Faults: ``failover``, ``flush``,
    ``evict``; time passes by ``clock``.
    """

    def __init__(self, clock: Clock) -> None:
        """Hold nothing."""
        self.clock = clock
        self.replid = secrets.token_hex(20)
        self.node = 0
        self.epoch = ""
        self.links: list[Link] = []
        self._index: dict[SessionKey, int] = {}
        self._records: dict[SessionKey, Record] = {}
        self._operations: dict[tuple[SessionKey, str], _Done] = {}
        self._undo: list[_Undo] = []
        self._history: defaultdict[SessionKey, list[Moment]] = defaultdict(
            lambda: [Moment(0, None)]
        )

    # What may happen to it

    def failover(self, *, lose: int = 0, cut: bool = True) -> None:
        """
        Let another node take over that never saw the last ``lose`` changes.

        ``cut``: connections to the old node end. If not, its subscriptions stay open, and
        nothing is published there any more.
        """
        for _ in range(min(lose, len(self._undo))):
            key, record, operation = self._undo.pop()
            self._set(key, record)
            self._operations.pop((key, operation), None)
        self.node += 1
        self.replid = secrets.token_hex(20)
        if cut:
            for link in self.links:
                link.end("the connection was closed")

    def flush(self) -> None:
        """Lose everything, as FLUSHALL does; nobody is told."""
        for key in list(self._records):
            self._set(key, None)
        self._operations.clear()
        self._undo.clear()
        self._index.clear()
        self.epoch = ""

    def evict(self, key: SessionKey) -> None:
        """Lose one session, as an eviction or a DEL by hand does; nobody is told."""
        self._set(key, None)

    def cut(self) -> None:
        """Close every subscription."""
        for link in self.links:
            link.end("the connection was closed")

    # What tests want to know

    def record(self, key: SessionKey) -> Record | None:
        """Return what is held of a session now."""
        record = self._records.get(key)
        if record is not None and 0 <= record.deadline <= self.now_ms:
            self._history[key].append(Moment(record.deadline * 1000, None))
            del self._records[key]
            return None
        return record

    def history(self, key: SessionKey) -> Sequence[Moment]:
        """
        Return everything a session has been, in order; at first it is not there.

        What a failover lost stays in it, followed by what the session was afterwards.
        """
        self.record(key)
        return self._history[key]

    @property
    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self.clock.wall() // 1000

    # Changes

    def append(
        self,
        key: SessionKey,
        messages: Sequence[StoredMessage],
        fields: bytes | None,
        terms: Terms,
        *,
        delta_bytes: int,
        session_bytes: int,
    ) -> Outcome:
        """Carry out an append; see the port."""
        before = self.record(key)
        if (done := self._checked(key, before, terms)) is not None:
            return done
        at = before.header.next if before else 0
        header, cells = _record.append(before, self._advanced(before, terms, fields), messages)
        if header.size > session_bytes:
            raise TooLargeError("messages", f"the session would be over {session_bytes} bytes")
        size = sum(len(message.body) for message in messages) + len(fields or b"")
        small = size <= delta_bytes
        record = self._changed(key, before, (header, cells), fields, terms)
        self._publish(key, "A" if small else "C", before, record, fields, messages)
        return self._finished(key, terms, before, Outcome(header, at, header.next))

    def rewrite(
        self, key: SessionKey, change: Rewrite, fields: bytes | None, terms: Terms
    ) -> Outcome:
        """Carry out an edit; see the port."""
        before = self.record(key)
        if (done := self._checked(key, before, terms)) is not None:
            return done
        changed = _record.rewrite(before, self._advanced(before, terms, fields), change)
        record = self._changed(key, before, changed, fields, terms)
        self._publish(key, "C", before, record)
        return self._finished(key, terms, before, Outcome(record.header, change.start, change.end))

    def delete(self, key: SessionKey, terms: Terms) -> Outcome:
        """Carry out a delete; see the port."""
        before = self.record(key)
        if (done := self._checked(key, before, terms)) is not None:
            return done
        header = self._advanced(before, terms, None)._replace(ttl_ms=0)
        self._publish(key, "D", before, Record(header, b"{}", {}, FOREVER))
        if before is None:
            return self._finished(key, terms, before, Outcome(None))
        self._set(key, None)
        return self._finished(key, terms, before, Outcome(header, header.first, header.next))

    def _checked(self, key: SessionKey, before: Record | None, terms: Terms) -> Outcome | None:
        """Return the outcome of a change that changes nothing; None: go on."""
        done = self._operations.get((key, terms.operation.id))
        if done is not None and done.forget_at_ms > self.now_ms:
            if done.fingerprint != terms.operation.fingerprint:
                raise OperationReusedError("this operation id was used for something else")
            return replace(done.outcome, replayed=True)
        if terms.condition is not None:
            is_ = before and before.header.version
            if not _holds(terms.condition, before):
                raise VersionMismatchError(str(is_) if is_ else None)
        if before is None and not terms.create:
            return Outcome(None, missing=True)
        return None

    def _advanced(self, before: Record | None, terms: Terms, fields: bytes | None) -> Header:
        now = self.clock.wall()
        header = before.header if before else _new_header(now)
        num, era, eras = header.num + 1, self.replid[:10], header.eras
        if not eras or eras[-1][0] != era:
            eras = (*eras, (era, num))
        return header._replace(
            num=num,
            tag=terms.tag,
            updated=now,
            ttl_ms=header.ttl_ms if terms.ttl_ms is None else max(0, terms.ttl_ms),
            fields_num=header.fields_num if fields is None else num,
            eras=eras,
        )

    def _changed(
        self,
        key: SessionKey,
        before: Record | None,
        changed: tuple[Header, dict[str, bytes]],
        fields: bytes | None,
        terms: Terms,
    ) -> Record:
        header, cells = changed
        deadline = FOREVER
        if header.ttl_ms:
            deadline = self.now_ms + header.ttl_ms
        elif before and terms.ttl_ms != 0:
            deadline = before.deadline
        if fields is None:
            fields = before.fields if before else b"{}"
        record = Record(header, fields, cells, deadline, terms.put_record)
        self._set(key, record)
        return record

    def _publish(  # noqa: PLR0917  # as the script's function
        self,
        key: SessionKey,
        kind: str,
        before: Record | None,
        after: Record,
        fields: bytes | None = None,
        messages: Sequence[StoredMessage] = (),
    ) -> None:
        carries = kind == "A"
        delta = Delta(
            kind,
            before.header.tag if before else "-",
            after.header,
            FOREVER if after.deadline == FOREVER else max(0, after.deadline - self.now_ms),
            fields if carries else None,
            tuple(messages) if carries else None,
        )
        payload = encode(delta)
        for link in self._listening():
            link.publish(key, payload)

    def _finished(
        self, key: SessionKey, terms: Terms, before: Record | None, outcome: Outcome
    ) -> Outcome:
        outcome = replace(outcome, note=terms.note)
        operation = terms.operation
        forget_at_ms = self.now_ms + operation.keep_ms
        self._operations[key, operation.id] = _Done(operation.fingerprint, outcome, forget_at_ms)
        self._undo.append(_Undo(key, before, operation.id))
        return outcome

    def _set(self, key: SessionKey, record: Record | None) -> None:
        if record is None:
            self._records.pop(key, None)
        else:
            self._records[key] = record
        self._history[key].append(Moment(self.clock.wall(), record))

    # The index

    def touch(self, key: SessionKey, since: int | None) -> None:
        """Enter a session as active now; with ``since`` where it is missing, as active then."""
        if since is None:
            self._index[key] = self.clock.wall()
        else:
            self._index.setdefault(key, since)

    def forget(self, key: SessionKey) -> None:
        """Remove the entry of a session that is gone."""
        if self.record(key) is None:
            self._index.pop(key, None)

    def entered(self, namespace: str, user_id: str) -> list[SessionKey]:
        """Return the sessions of a scope by activity, oldest first; stale entries go."""
        met = [key for key in self._index if in_scope(key, namespace, user_id)]
        for key in met:
            if self.record(key) is None:
                del self._index[key]
        return sorted(self._index.keys() & met, key=lambda key: (self._index[key], key))

    # The bus

    def fence(self, own: Link, nonce: str) -> FenceReply:
        """Publish a nonce on the write path, to the link of the worker that sent it."""
        self.epoch = self.epoch or secrets.token_hex(8)
        receivers = [link for link in self._listening() if link is own]
        for link in receivers:
            link.publish_nonce(nonce)
        return FenceReply(len(receivers), self.epoch, self.replid)

    def _listening(self) -> list[Link]:
        return [link for link in self.links if link.node == self.node]


def in_scope(key: SessionKey, namespace: str, user_id: str) -> bool:
    """Whether the session is of a scope (``""``: any)."""
    return namespace in {"", key.namespace} and user_id in {"", key.user_id}


def _holds(condition: Condition, before: Record | None) -> bool:
    wanted, header = condition.version, before and before.header
    if condition.fields_num is not None and header and wanted:
        is_ = header.inc, header.version.era, header.fields_num
        return is_ == (wanted.inc, wanted.era, condition.fields_num)
    return _identity(header and header.version) == _identity(wanted)


def _identity(version: Version | None) -> tuple[str, int, str] | None:
    return (version.inc, version.num, version.tag) if version else None


def _new_header(now: int) -> Header:
    return Header(
        inc=secrets.token_hex(8),
        num=0,
        tag="",
        first=0,
        next=0,
        edits=0,
        size=0,
        token_count=0,
        max_created=0,
        updated=now,
        created=now,
        ttl_ms=0,
        fields_num=0,
        eras=(),
    )
