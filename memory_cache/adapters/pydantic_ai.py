"""
A conversation store of Pydantic AI.

    async with open_cache("redis://localhost:6379") as cache:
        store = MemoryCacheConversationStore(cache)
        conversation = await store.load("chat-1") or Conversation(conversation_id="chat-1")
        result = await agent.run("Hello", conversation=conversation)
        await store.save(result)

A conversation is one session, to which every save adds its new entries and then its record: in
one change, and the last message is the record that holds. A log has all that its record leads to:
a fork begins with the entries it shares, under the same ids, so either may be deleted.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self

from cachetools import LRUCache
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)

from memory_cache import (
    ABSENT,
    NEWEST,
    CacheConfig,
    DamagedSessionError,
    Page,
    Session,
    SessionCache,
    SessionKey,
    VersionMismatchError,
)
from memory_cache.adapters._pydantic_ai_log import (
    Line,
    entries_of,
    history,
    line_of,
    record_line,
    record_of,
)
from memory_cache.adapters._source import CacheSource, each_read, every_session

_PLACES: Final = 4096


class MemoryCacheConversationStore(ConversationStore):
    """
    Conversations, each a session of one namespace.

    A method raises what ``memory_cache.Session`` raises, too: ``StoreError`` where Redis does not
    answer, ``InvalidInputError`` for what Pydantic AI makes no JSON of or an id that is refused,
    as ``TooLargeError`` for a message over ``CacheConfig.max_large_bytes``.
    """

    def __init__(
        self,
        cache: SessionCache | str,
        *,
        config: CacheConfig | None = None,
        namespace: str = "pydantic-ai",
        ttl_seconds: int | None = None,
    ) -> None:
        """
        Keep conversations in a namespace of a cache; nothing is sent.

        ``cache``: one that is shared; or a URL, and it has one of its own, made by ``config``.
        ``ttl_seconds``: a conversation lives that long after each save.
        """
        self._source = CacheSource(cache, config)
        self._namespace = namespace
        self._ttl_seconds = ttl_seconds
        # Where entries were met that histories are asked for by. One forgotten is searched for.
        self._places = LRUCache[str, str](_PLACES)

    @classmethod
    def from_url(cls, url: str, *, config: CacheConfig | None = None) -> Self:
        """Return a store with a cache of its own, opened at first use; it is to be closed."""
        return cls(url, config=config)

    async def close(self) -> None:
        """Close a cache of our own; one that was passed in goes on."""
        await self._source.aclose()

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Return the record of a conversation; None if there is none."""
        return self._noted(await (await self._log(conversation_id)).recent(1, consistency=NEWEST))

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """Return the records, the one saved last first; each is read, whatever the limit."""
        found = await each_read(await self._keys(), lambda key: self.read_record(key.session_id))
        chosen = [each for each in found if scope is None or each.scope == scope]
        return sorted(chosen, key=lambda each: each.updated_at, reverse=True)[:limit]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """
        Add entries and the record that holds from now on, all or none.

        Raises:
            ConversationConflict: somebody else was faster, or an entry is nowhere.
        """
        log = await self._log(record.conversation_id)
        page = await log.recent(1, consistency=NEWEST)
        stored = self._noted(page)
        if (stored.revision if stored else None) != expected_revision:
            raise ConversationConflict(record.conversation_id)
        added = record.head_id in {entry.id for entry in new_entries}
        base = new_entries[0].parent_id if added else record.head_id
        shared: list[Line] = []
        if base is not None and (stored is None or base != stored.head_id):
            shared = await self._shared(log, base, record)
        lines = [*shared, *map(line_of, new_entries)]
        try:
            await log.append(
                [*lines, record_line(record)],
                if_version=page.version or ABSENT,
                ttl_seconds=self._ttl_seconds,
            )
        except VersionMismatchError:
            raise ConversationConflict(record.conversation_id) from None
        self._note(record)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """
        Delete a conversation and all its entries; a fork keeps those it shares.

        Raises:
            ConversationConflict: it was saved or deleted meanwhile.
        """
        log = await self._log(conversation_id)
        page = await log.recent(1, consistency=NEWEST)
        stored = self._noted(page)
        if stored is None or stored.revision != expected_revision:
            raise ConversationConflict(conversation_id)
        try:
            await log.delete(if_version=page.version)
        except VersionMismatchError:
            raise ConversationConflict(conversation_id) from None

    async def delete(self, conversation_id: str, *, scope: str | None = None) -> None:
        """Delete a conversation, a damaged one too unless it is to be of a scope."""
        try:
            await super().delete(conversation_id, scope=scope)
        except DamagedSessionError:
            if scope is not None:
                raise  # whose it is cannot be told
            await (await self._log(conversation_id)).delete()

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Return an entry; ``KeyError`` if it is nowhere."""
        return (await self.read_history(entry_id, limit=1))[0]

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        """Return the last ``limit`` entries up to one, oldest first; ``KeyError``: nowhere."""
        if head_id is None or limit == 0:
            return []
        lines = await self._search(head_id, limit)
        if lines is None:
            raise KeyError(head_id)
        return entries_of(lines)

    async def _log(self, conversation_id: str) -> Session:
        cache = await self._source.get()
        return cache.session(conversation_id, namespace=self._namespace).large()

    async def _keys(self) -> list[SessionKey]:
        return await every_session(await self._source.get(), self._namespace, "")

    async def _shared(self, log: Session, base: str, record: ConversationRecord) -> list[Line]:
        """Return the entries up to ``base`` if this log does not have them yet."""
        if await history(log, base, 1) is not None:
            return []
        if record.forked_from is not None:
            self._places.setdefault(base, record.forked_from)
        found = await self._search(base, None)
        if found is None:
            raise ConversationConflict(record.conversation_id)
        return found

    async def _search(self, entry_id: str, limit: int | None) -> list[Line] | None:
        """Return a history from where its end was met last, else from wherever it is."""
        damage: DamagedSessionError | None = None
        place = self._places.get(entry_id)
        if place is not None:
            with suppress(DamagedSessionError):
                found = await history(await self._log(place), entry_id, limit)
                if found is not None:
                    return found
        for key in await self._keys():
            try:
                found = await history(await self._log(key.session_id), entry_id, limit)
            except DamagedSessionError as error:
                damage = error  # perhaps it is in another one, too
                continue
            if found is not None:
                self._places[entry_id] = key.session_id
                return found
        if damage is not None:
            raise damage
        if place is not None:
            record = await self.read_record(place)
            if record is not None and record.head_id == entry_id:
                raise DamagedSessionError("what a conversation of Pydantic AI leads to is missing")
        return None

    def _noted(self, page: Page) -> ConversationRecord | None:
        """Return the record at the end of a log, and note where its entries are."""
        record = record_of(page)
        if record is not None:
            self._note(record)
        return record

    def _note(self, record: ConversationRecord) -> None:
        for entry_id in [record.head_id, *record.branches]:
            if entry_id is not None:
                self._places[entry_id] = record.conversation_id
