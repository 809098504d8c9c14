"""One worker's store: the in-memory server, some turns of the loop and a gate away."""

from collections.abc import Sequence

from memory_cache._blocks import Block
from memory_cache._config import CacheConfig
from memory_cache._errors import TooLargeError
from memory_cache._ports import Have, Outcome, Rewrite, Span, Terms
from memory_cache._types import Header, SessionKey, StoredMessage
from memory_cache.testing import _record
from memory_cache.testing._gates import Gates
from memory_cache.testing._record import Record
from memory_cache.testing._server import InMemoryServer


class InMemoryStore:
    """Implements the ``Store`` port; each method passes the gates of its name."""

    def __init__(self, server: InMemoryServer, gates: Gates, config: CacheConfig) -> None:
        """Be one of the server's workers."""
        self._server = server
        self._gates = gates
        self._config = config

    async def append(
        self,
        key: SessionKey,
        messages: Sequence[StoredMessage],
        fields: bytes | None,
        terms: Terms,
    ) -> Outcome:
        """Add messages and replace the fields; see the port."""
        await self._gates.reach("append")
        outcome = self._server.append(
            key,
            messages,
            fields,
            terms,
            delta_bytes=self._config.delta_bytes,
            session_bytes=self._config.max_session_bytes,
        )
        await self._gates.reach("append.done")
        return outcome

    async def rewrite(
        self, key: SessionKey, change: Rewrite, fields: bytes | None, terms: Terms
    ) -> Outcome:
        """Edit; see the port."""
        if change.size > self._config.max_session_bytes:
            reason = f"the session would be over {self._config.max_session_bytes} bytes"
            raise TooLargeError("messages", reason)
        await self._gates.reach("rewrite")
        outcome = self._server.rewrite(key, change, fields, terms)
        await self._gates.reach("rewrite.done")
        return outcome

    async def delete(self, key: SessionKey, terms: Terms) -> Outcome:
        """Delete the session; see the port."""
        await self._gates.reach("delete")
        outcome = self._server.delete(key, terms)
        await self._gates.reach("delete.done")
        return outcome

    async def tail(self, key: SessionKey, count: int, have: Have | None = None) -> Span | None:
        """Return the newest messages, or what ``have`` lacks of them; see the port."""
        await self._gates.reach("tail")
        record = self._server.record(key)
        span = record and _record.tail(record, self._server.now_ms, count, have)
        await self._gates.reach("tail.done")
        return span

    async def range(
        self, key: SessionKey, *, after: int | None, before: int | None, limit: int
    ) -> Span | None:
        """Return messages on one side of a seq; see the port."""
        await self._gates.reach("range")
        record = self._server.record(key)
        span = record and _record.around(record, self._server.now_ms, after, before, limit)
        await self._gates.reach("range.done")
        return span

    async def blocks(
        self, key: SessionKey, numbers: Sequence[int], header: Header
    ) -> dict[int, Block] | None:
        """Return sealed blocks; see the port."""
        await self._gates.reach("blocks")
        record = self._same(key, header)
        found = record and {number: record.block(number) for number in numbers}
        await self._gates.reach("blocks.done")
        return found

    async def digests(
        self, key: SessionKey, numbers: Sequence[int], header: Header
    ) -> dict[int, bytes] | None:
        """Return digests of sealed blocks; see the port."""
        await self._gates.reach("digests")
        record = self._same(key, header)
        found = record and {
            number: digest
            for number in numbers
            if (digest := record.cells.get(f"d{number}")) is not None
        }
        await self._gates.reach("digests.done")
        return found

    async def put_record(self, key: SessionKey) -> tuple[Header, bytes] | None:
        """Return the header, and what the last change left as its record; see the port."""
        await self._gates.reach("put_record")
        record = self._server.record(key)
        await self._gates.reach("put_record.done")
        return (record.header, record.put_record) if record else None

    async def touch(
        self, key: SessionKey, expires_ms: int | None, *, since: int | None = None
    ) -> None:
        """Enter the session into the index; its own deadline is looked up when it is met."""
        del expires_ms
        await self._gates.reach("touch")
        self._server.touch(key, since)
        await self._gates.reach("touch.done")

    async def list_sessions(
        self, namespace: str, user_id: str, *, limit: int, offset: int, newest_first: bool
    ) -> tuple[list[SessionKey], int]:
        """Return a page of sessions and their number; see the port."""
        await self._gates.reach("list")
        found = self._server.entered(namespace, user_id)
        if newest_first:
            found.reverse()
        await self._gates.reach("list.done")
        return found[offset : offset + limit], len(found)

    async def find(
        self, session_id: str, namespace: str, user_id: str, limit: int
    ) -> list[SessionKey]:
        """Return sessions with this id; see the port."""
        await self._gates.reach("find")
        found = self._server.entered(namespace, user_id)
        await self._gates.reach("find.done")
        return [key for key in found if key.session_id == session_id][:limit]

    async def forget(self, key: SessionKey) -> None:
        """Remove the index entry of a session that is gone; see the port."""
        await self._gates.reach("forget")
        self._server.forget(key)
        await self._gates.reach("forget.done")

    async def aclose(self) -> None:
        """Have nothing to let go of."""

    def _same(self, key: SessionKey, header: Header) -> Record | None:
        """Return the record if it is of the header's history and edits."""
        record = self._server.record(key)
        if record is None:
            return None
        now = record.header
        same = now.edits == header.edits and now.holds(header.version)
        return record if same else None
