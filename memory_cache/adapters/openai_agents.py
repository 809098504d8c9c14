"""
A ``Session`` of the OpenAI Agents SDK.

    async with open_cache("redis://localhost:6379") as cache:
        session = MemoryCacheSession("chat-1", cache)
        await Runner.run(agent, "Hello", session=session)
"""

from collections.abc import Sequence
from typing import Any, Final, Self, cast

from agents import TResponseInputItem
from agents.memory import SessionSettings
from agents.memory.session_settings import coerce_session_settings, resolve_session_limit

from memory_cache import (
    NEWEST,
    CacheConfig,
    Consistency,
    Session,
    SessionCache,
    StoreError,
    VersionMismatchError,
)
from memory_cache.adapters._carrier import messages_of, packed
from memory_cache.adapters._source import CacheSource

_TRIES: Final = 64


class MemoryCacheSession:
    """
    One conversation: every item is one message of a session, kept as the SDK sends it.

    A method raises what ``memory_cache.Session`` raises: ``StoreError`` where Redis does not
    answer, ``InvalidInputError`` for an item that is no JSON, as ``TooLargeError`` for one over
    ``CacheConfig.max_large_bytes``.
    """

    session_settings: SessionSettings | None

    def __init__(
        self,
        session_id: str,
        cache: SessionCache | str,
        *,
        config: CacheConfig | None = None,
        namespace: str | None = None,
        user_id: str | None = None,
        ttl_seconds: int | None = None,
        consistency: Consistency = NEWEST,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        """
        Name a conversation; nothing is sent.

        ``cache``: one that is shared; or a URL, and it has one of its own, made by ``config``.
        ``ttl_seconds``: it lives that long after each ``add_items``. ``consistency``: of reads
        with a limit; ``BOUNDED`` is faster and may miss what another worker has just added.
        """
        self.session_id = session_id
        self.session_settings = (
            SessionSettings()
            if session_settings is None
            else coerce_session_settings(session_settings)
        )
        self._source = CacheSource(cache, config)
        self._scope = {"namespace": namespace, "user_id": user_id}
        self._ttl_seconds = ttl_seconds
        self._consistency = consistency

    @classmethod
    def from_url(
        cls,
        session_id: str,
        *,
        url: str = "redis://localhost:6379",
        config: CacheConfig | None = None,
        namespace: str | None = None,
        user_id: str | None = None,
        ttl_seconds: int | None = None,
        consistency: Consistency = NEWEST,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> Self:
        """Return one with a cache of its own, opened at first use; it is to be closed."""
        return cls(
            session_id,
            url,
            config=config,
            namespace=namespace,
            user_id=user_id,
            ttl_seconds=ttl_seconds,
            consistency=consistency,
            session_settings=session_settings,
        )

    async def close(self) -> None:
        """Close what ``from_url`` opened; a cache that was passed in goes on."""
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the latest ``limit`` items, oldest first; with no limit anywhere, all."""
        limit = resolve_session_limit(limit, self.session_settings)
        if limit is not None and limit <= 0:
            return []
        session = await self._session()
        if limit is None:
            page = await session.transcript()
        else:
            page = await session.recent(limit, consistency=self._consistency)
        return cast("list[TResponseInputItem]", messages_of(page))

    async def add_items(self, items: Sequence[TResponseInputItem]) -> None:
        """Add items at the end, all or none; no items, nothing is done."""
        if items:
            given = cast("Sequence[dict[str, Any]]", items)
            messages = [packed(item, f"items[{at}]") for at, item in enumerate(given)]
            await (await self._session()).append(messages, ttl_seconds=self._ttl_seconds)

    async def pop_item(self) -> TResponseInputItem | None:
        """Remove the newest item and return it; of two who pop at once, each gets another."""
        session = await self._session()
        for _ in range(_TRIES):
            # Looked at first: what cannot be given out is not taken away.
            page = await session.recent(1, consistency=NEWEST)
            if not page.bodies:
                return None
            (item,) = messages_of(page)
            try:
                await session.pop(if_version=page.version)
            except VersionMismatchError:
                continue
            return cast("TResponseInputItem", item)
        raise StoreError("the session changes too fast to be edited")

    async def clear_session(self) -> None:
        """Delete the session."""
        await (await self._session()).delete()

    async def _session(self) -> Session:
        cache = await self._source.get()
        return cache.session(self.session_id, **self._scope).large()
