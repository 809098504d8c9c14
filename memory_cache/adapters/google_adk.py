"""
A session service of Google's Agent Development Kit.

    async with open_cache("redis://localhost:6379") as cache:
        service = MemoryCacheSessionService(cache)
        runner = Runner(agent=agent, app_name="app", session_service=service)
"""

import asyncio
from typing import Any, Final, Self
from weakref import WeakValueDictionary

from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.events import Event
from google.adk.platform import time as adk_time
from google.adk.platform import uuid as adk_uuid
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse

import memory_cache as mc
from memory_cache.adapters._adk_log import (
    append,
    checkpoint,
    crosses,
    fields_of,
    load,
    mark,
    seen_of,
)
from memory_cache.adapters._adk_shared import SharedChange, SharedState
from memory_cache.adapters._adk_values import body_of, delta_of, own, stand_in, state_of
from memory_cache.adapters._source import CacheSource, each_read, every_session

_ALL: Final = GetSessionConfig()
_NO_EVENTS: Final = GetSessionConfig(num_recent_events=0)


class MemoryCacheSessionService(BaseSessionService):
    """
    Sessions of ADK: the app's name is the namespace, user and session ids are ADK's.

    A method raises what ``memory_cache.Session`` raises: ``StoreError`` where Redis does not
    answer, ``InvalidInputError`` for a name that is refused, for what is nested too deep, and, as
    ``TooLargeError``, for an event or a state over ``CacheConfig.max_large_bytes``.
    """

    def __init__(
        self,
        cache: mc.SessionCache | str,
        *,
        config: mc.CacheConfig | None = None,
        ttl_seconds: int | None = None,
        refuse_stale: bool = True,
        state_namespace: str = "adk-state",
    ) -> None:
        """
        Serve the sessions of a cache; nothing is sent.

        ``cache``: one that is shared; or a URL, and it has one of its own, made by ``config``.
        ``ttl_seconds``: a session lives that long after each change, and the state of its app and
        user at least as long. ``refuse_stale``: an append to a
        ``Session`` that is behind raises ``StaleSessionError``; else it is added at the end.
        ``state_namespace``: where the state of apps and users is kept; no app may be named so.
        """
        self._source = CacheSource(cache, config)
        self._ttl_seconds = ttl_seconds
        self._refuse_stale = refuse_stale
        self._shared = SharedState(self._source, state_namespace, ttl_seconds)
        self._locks = WeakValueDictionary[
            tuple[asyncio.AbstractEventLoop, mc.SessionKey], asyncio.Lock
        ]()

    @classmethod
    def from_url(cls, url: str, *, config: mc.CacheConfig | None = None) -> Self:
        """Return a service with a cache of its own, opened at first use; it is to be closed."""
        return cls(url, config=config)

    async def close(self) -> None:
        """Close a cache of our own; one that was passed in goes on."""
        await self._source.aclose()

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """
        Make a session with a state, or nothing at all.

        Raises:
            AlreadyExistsError: there is one of this id.
        """
        name = (session_id or "").strip() or adk_uuid.new_uuid()
        chat = await self._chat(app_name, user_id, name)
        given = state_of(state or {})
        await self._shared.outlive(app_name, user_id)
        shared = await self._shared.read(app_name, user_id)
        following = await self._shared.planned(app_name, user_id, given)
        now = adk_time.get_time()
        try:
            change = await chat.replace(
                [],
                {**fields_of(own(given), 0), "created": now},
                if_version=mc.ABSENT,
                ttl_seconds=self._ttl_seconds,
            )
        except mc.VersionMismatchError:
            raise AlreadyExistsError(f"Session with id {name} already exists.") from None
        try:
            await self._shared.change(following)
        except (mc.InvalidInputError, mc.DamagedSessionError):
            await chat.delete(if_version=change.version)
            raise
        made = Session(app_name=app_name, user_id=user_id, id=name, state=shared | given)
        made.last_update_time = now
        return mark(made, change.version, change.next)

    async def get_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        config: GetSessionConfig | None = None,
    ) -> Session | None:
        """Return a session with the events asked for; None if there is no such session."""
        chat = await self._chat(app_name, user_id, session_id.strip())
        loading = load(chat, app_name, user_id, config or _ALL)
        found: tuple[Session | None, dict[str, Any]] = await asyncio.gather(
            loading, self._shared.read(app_name, user_id)
        )
        session, shared = found
        if session is None:
            return None
        session.state |= shared
        return session

    async def list_sessions(
        self, *, app_name: str, user_id: str | None = None
    ) -> ListSessionsResponse:
        """Return the sessions without their events, the one updated last at the end."""
        keys = await every_session(await self._source.get(), app_name, user_id)
        found = await each_read(keys, self._listed)
        found.sort(key=lambda each: (each.last_update_time, each.user_id, each.id))
        return ListSessionsResponse(sessions=found)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session, its events and its own state; those of the app and user stay."""
        await (await self._chat(app_name, user_id, session_id.strip())).delete()

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return what the sessions of a user share, without the ``user:`` prefix."""
        return await self._shared.of_user(app_name, user_id)

    async def append_event(self, session: Session, event: Event) -> Event:
        """
        Add an event at the end; delivered again within ten minutes, it is not added again.

        The event and the session's state are one change; the app's and the user's state follow.

        Raises:
            SessionNotFoundError: there is no such session.
            StaleSessionError: others have added events since ``session`` was read.
            InvalidInputError: it cannot be kept. If it has results of tools, an event is added that
                says so in place of them, for a call without a result ends a conversation.
        """
        if event.partial:
            return event
        chat = await self._chat(session.app_name, session.user_id, session.id)
        # Of one event loop one at a time: else many would try again when one of them is through.
        here = asyncio.get_running_loop(), chat.key
        async with self._locks.setdefault(here, asyncio.Lock()):
            try:
                change, following = await self._append(chat, session, event)
            except mc.InvalidInputError as error:
                instead = stand_in(event, error.reason)
                if instead is None:
                    raise
                await self._append(chat, session, instead)
                reason = f"{error.reason}; an event that says so was added instead"
                raise type(error)(error.field, reason) from None
            # Refused now, it is only the shared state: the event is stored, and nothing stands in.
            await self._shared.change(following)
            if crosses(change):
                await checkpoint(chat)
        return event

    async def _append(
        self, chat: mc.Session, session: Session, event: Event
    ) -> tuple[mc.Change, list[SharedChange]]:
        """Add an event; return what was done, and which change of the shared state is to follow."""
        body = body_of(event)
        seen = seen_of(session)
        await self._shared.outlive(session.app_name, session.user_id)
        following = await self._shared.planned(session.app_name, session.user_id, delta_of(body))
        change = await append(chat, body, seen, self._ttl_seconds, refuse_stale=self._refuse_stale)
        if change.replayed and (seen is None or seen.end != change.start):
            return change, []  # not the second try of an append whose answer was lost
        await super().append_event(session, event)
        session.last_update_time = event.timestamp
        mark(session, change.version, change.end)
        return change, following

    async def _listed(self, key: mc.SessionKey) -> Session | None:
        namespace, user_id, session_id = key
        return await self.get_session(
            app_name=namespace, user_id=user_id, session_id=session_id, config=_NO_EVENTS
        )

    async def _chat(self, app_name: str, user_id: str, session_id: str) -> mc.Session:
        if app_name == self._shared.namespace:
            raise mc.InvalidNameError("app_name", "is where the state is kept")
        cache = await self._source.get()
        return cache.session(session_id, namespace=app_name, user_id=user_id).large()
