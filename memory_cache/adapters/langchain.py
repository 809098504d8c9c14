"""
A chat message history of LangChain: a way over for programs that have one.

    async with open_cache("redis://localhost:6379") as cache:
        chain = RunnableWithMessageHistory(
            runnable, lambda session_id: MemoryCacheChatMessageHistory(session_id, cache)
        )
        await chain.ainvoke(turn, config={"configurable": {"session_id": "chat-1"}})

LangChain has deprecated ``BaseChatMessageHistory``; new programs want something else.
"""

from collections.abc import Sequence

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict

from memory_cache import SessionCache
from memory_cache.adapters._carrier import messages_of, packed
from memory_cache.adapters._reading import reading
from memory_cache.adapters._source import CacheSource


class MemoryCacheChatMessageHistory(BaseChatMessageHistory):
    """
    One conversation: every message is one message of a session, as ``message_to_dict`` gives it.

    Use the methods that are awaited, on the event loop of the cache; elsewhere they raise
    ``RuntimeError``. The others wait for them in another thread than that loop's, while it runs;
    else they raise ``RuntimeError``, and ``TimeoutError`` where that loop gives no answer. All
    raise what ``memory_cache.Session`` raises: ``StoreError`` where Redis does not answer,
    ``InvalidInputError`` for what is no JSON, as ``TooLargeError`` for a message over
    ``CacheConfig.max_large_bytes``.
    """

    def __init__(
        self,
        session_id: str,
        cache: SessionCache,
        *,
        namespace: str | None = None,
        user_id: str | None = None,
        ttl_seconds: int | None = None,
        wait_seconds: float | None = None,
    ) -> None:
        """
        Name a conversation; nothing is sent.

        ``ttl_seconds``: it lives that long after each message. ``wait_seconds``: how long a method
        that is not awaited waits; eight times the cache's ``store_timeout_seconds`` if not given.

        Raises:
            TypeError: ``cache`` is no cache that ``open_cache`` gave.
        """
        super().__init__()
        if not isinstance(cache, SessionCache):
            # A history is made for each turn and has no end: it is no place to keep a cache in.
            raise TypeError(
                "cache: give what `async with open_cache(url) as cache` gives;"
                f" a history opens none of its own, so not {type(cache).__name__}"
            )
        self._session = cache.session(session_id, namespace=namespace, user_id=user_id).large()
        self._source = CacheSource(cache, wait_seconds=wait_seconds)
        self._ttl_seconds = ttl_seconds

    async def aget_messages(self) -> list[BaseMessage]:
        """Return all messages, oldest first."""
        await self._source.get()
        page = await self._session.transcript()
        with reading("messages of LangChain"):
            return messages_from_dict(messages_of(page))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end, all or none."""
        await self._source.get()
        if messages:
            sent = [packed(message_to_dict(message)) for message in messages]
            await self._session.append(sent, ttl_seconds=self._ttl_seconds)

    async def aclear(self) -> None:
        """Delete the session."""
        await self._source.get()
        await self._session.delete()

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # theirs says attribute or property
        """As ``aget_messages``, for other threads."""
        return self._source.waited(self.aget_messages, _instead("aget_messages()"))

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """As ``aadd_messages``, for other threads."""
        self._source.waited(lambda: self.aadd_messages(messages), _instead("aadd_messages(…)"))

    def clear(self) -> None:
        """As ``aclear``, for other threads."""
        self._source.waited(self.aclear, _instead("aclear()"))


def _instead(call: str) -> str:
    return f"`await history.{call}`, and of a runnable `await chain.ainvoke(…)`"
