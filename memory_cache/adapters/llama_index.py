"""
A chat store of LlamaIndex, for its ``Memory``.

    async with open_cache("redis://localhost:6379") as cache:
        store = MemoryCacheChatStore(cache)
        memory = Memory.from_defaults(session_id="chat-1", chat_store=store)

A key is one session, and holds all its messages in order; which of them are archived is kept
beside them as ranges of seqs, so to archive the oldest moves no message.
"""

from collections.abc import Callable
from typing import Final, Self

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

from memory_cache import (
    ABSENT,
    NEWEST,
    CacheConfig,
    Page,
    Session,
    SessionCache,
    StoreError,
    VersionMismatchError,
)
from memory_cache.adapters._llama_index_entries import (
    FIELD,
    Entry,
    dumped,
    entries_of,
    has,
    joined,
    parsed,
    ranges_of,
    read,
)
from memory_cache.adapters._source import CacheSource, every_session

_TRIES: Final = 64

_Edit = Callable[[list[Entry]], list[Entry]]


class MemoryCacheChatStore(AsyncDBChatStore):
    """
    Messages by key, each kept as ``model_dump(mode="json")`` gives it.

    A method raises what ``memory_cache.Session`` raises: ``StoreError`` where Redis does not
    answer, ``InvalidInputError`` for a key that is refused, as ``TooLargeError`` for a message
    over ``CacheConfig.max_large_bytes``.
    """

    _source: CacheSource = PrivateAttr()
    _namespace: str = PrivateAttr()
    _ttl_seconds: int | None = PrivateAttr()

    def __init__(
        self,
        cache: SessionCache | str,
        *,
        config: CacheConfig | None = None,
        namespace: str = "llama-index",
        ttl_seconds: int | None = None,
    ) -> None:
        """
        Keep messages in a namespace of a cache; nothing is sent.

        ``cache``: one that is shared; or a URL, and it has one of its own, made by ``config``.
        ``ttl_seconds``: a key lives that long after each message added.
        """
        super().__init__()
        self._source = CacheSource(cache, config)
        self._namespace = namespace
        self._ttl_seconds = ttl_seconds

    @classmethod
    def from_url(cls, url: str, *, config: CacheConfig | None = None) -> Self:
        """Return a store with a cache of its own, opened at first use; it is to be closed."""
        return cls(url, config=config)

    async def close(self) -> None:
        """Close a cache of our own; one that was passed in goes on."""
        await self._source.aclose()

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """Return messages, oldest first: ``limit`` of them after the first ``offset``."""
        page = await read(await self._chat(key), status)
        chosen = [each for each, archived in entries_of(page) if has(status, archived=archived)]
        start = max(offset or 0, 0)
        return parsed(chosen[start : None if limit is None or limit < 0 else start + limit])

    async def count_messages(
        self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE
    ) -> int:
        """Return how many messages there are."""
        page = await (await self._chat(key)).recent(0, consistency=NEWEST)
        archived = sum(end - start for start, end in ranges_of(page))
        every = page.next - page.first
        counts = {None: every, MessageStatus.ARCHIVED: archived}
        return counts.get(status, every - archived)

    async def add_message(
        self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add one message at the end."""
        await self.add_messages(key, [message], status)

    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add messages at the end, all or none."""
        added = [(each, status is MessageStatus.ARCHIVED) for each in dumped(messages)]
        if status is not MessageStatus.ACTIVE:
            await self._edit(key, lambda entries: entries + added)
        elif added:
            chat = await self._chat(key)
            await chat.append([each for each, _ in added], ttl_seconds=self._ttl_seconds)

    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Put these messages in place of all there are, of either status."""
        put = [(each, status is MessageStatus.ARCHIVED) for each in dumped(messages)]
        chat = await self._chat(key)
        if not put:
            await chat.delete()
            return
        for _ in range(_TRIES):
            if await self._written(chat, await chat.recent(0, consistency=NEWEST), put):
                return
        raise StoreError("the session changes too fast to be edited")

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete the message at a position among all of the key's, and return it."""
        if idx < 0:
            return None
        gone = await self._taken(key, lambda entries: entries[idx : idx + 1])
        return gone[0] if gone else None

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Delete all messages of a status, or of both: then the session, whatever is in it."""
        if status is None:
            await (await self._chat(key)).delete()
        else:
            left = status is not MessageStatus.ARCHIVED
            await self._edit(key, lambda entries: [e for e in entries if e[1] is left])

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Delete the oldest ``n`` active messages, and return them."""
        return await self._taken(key, lambda entries: [e for e in entries if not e[1]][: max(n, 0)])

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archive the oldest ``n`` active messages, and return them."""
        chat = await self._chat(key)
        for _ in range(_TRIES):
            page = await read(chat, MessageStatus.ACTIVE)
            numbered = enumerate(entries_of(page), page.start)
            taken = [(seq, each) for seq, (each, archived) in numbered if not archived][: max(n, 0)]
            if not taken:
                return []
            ranges = joined([*ranges_of(page), *((seq, seq + 1) for seq, _ in taken)])
            moved = parsed([each for _, each in taken])
            try:
                await chat.set_fields({FIELD: ranges}, if_version=page.version)
            except VersionMismatchError:
                continue
            return moved
        raise StoreError("the session changes too fast to be edited")

    async def get_keys(self) -> list[str]:
        """Return the keys that hold messages."""
        keys = await every_session(await self._source.get(), self._namespace, "")
        return [key.session_id for key in keys]

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex knows this class by."""
        return "MemoryCacheChatStore"

    async def _chat(self, key: str) -> Session:
        return (await self._source.get()).session(key, namespace=self._namespace).large()

    async def _taken(self, key: str, choose: _Edit) -> list[ChatMessage]:
        """Delete the entries that are chosen, and return their messages."""
        gone: list[ChatMessage] = []

        def without(entries: list[Entry]) -> list[Entry]:
            chosen = choose(entries)
            gone[:] = parsed([each for each, _ in chosen])
            doomed = {id(entry) for entry in chosen}
            return [entry for entry in entries if id(entry) not in doomed]

        await self._edit(key, without)
        return gone

    async def _edit(self, key: str, edit: _Edit) -> None:
        """Read all, and write what ``edit`` makes of it: if nobody else was faster."""
        chat = await self._chat(key)
        for _ in range(_TRIES):
            page = await chat.transcript()
            before = entries_of(page)
            after = edit(before)
            if after == before or await self._written(chat, page, after):
                return
        raise StoreError("the session changes too fast to be edited")

    async def _written(self, chat: Session, page: Page, entries: list[Entry]) -> bool:
        """Put entries in place of all that a page is of; False: somebody else was faster."""
        try:
            if entries:
                ranges = joined((at, at + 1) for at, (_, yes) in enumerate(entries) if yes)
                await chat.replace(
                    [each for each, _ in entries],
                    {**page.fields, FIELD: ranges},
                    if_version=page.version or ABSENT,
                    ttl_seconds=None if page.exists else self._ttl_seconds,
                )
            else:
                await chat.delete(if_version=page.version)
        except VersionMismatchError:
            return False
        return True
