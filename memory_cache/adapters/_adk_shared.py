"""
The state that ADK's sessions share: an app's, and that of a user in it.

Each is the fields of a session without messages. A value is in a list there, for a field cannot
be null; one that JSON does not hold unchanged is an object that has it as text (``_carrier``).

It must not expire under a session that shows it. So it lives twice as long as a session does after
its last change, and before a session is changed we see to it that it was renewed not long ago.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from google.adk.sessions import State

import memory_cache as mc
from memory_cache._clock import SystemClock
from memory_cache._wishes import MAX_TTL_SECONDS, Word
from memory_cache.adapters._carrier import CARRIED, packed, text_of, value_of
from memory_cache.adapters._reading import reading
from memory_cache.adapters._source import CacheSource

_MOST_NOTED: Final = 4096


class SharedChange(NamedTuple):
    """A change of the state of an app or a user that was looked at, and not yet made."""

    holder: mc.Session
    fields: dict[str, Any]
    ttl_seconds: int | Literal[Word.UNCHANGED] | None


class SharedState:
    """The state of apps and users, in one namespace."""

    def __init__(self, source: CacheSource, namespace: str, ttl_seconds: int | None) -> None:
        """Keep it in a namespace that no app has; ``ttl_seconds``: of the sessions that show it."""
        self.namespace = namespace
        self._source = source
        self._session_ttl = ttl_seconds
        self._ttl = None if ttl_seconds is None else min(2 * ttl_seconds, MAX_TTL_SECONDS)
        self._clock = SystemClock()
        self._renewed: dict[mc.SessionKey, float] = {}

    async def planned(
        self, app_name: str, user_id: str, state: Mapping[str, Any]
    ) -> list[SharedChange]:
        """
        Return how to change what a session's state has under the prefixes of app and user.

        Raises:
            InvalidInputError: it cannot be kept.
            DamagedSessionError: what is there cannot be read.
        """
        changes = list[SharedChange]()
        for name, user, prefix in (
            (f"app:{app_name}", "", State.APP_PREFIX),
            (f"user:{app_name}", user_id, State.USER_PREFIX),
        ):
            fields = _fields(state, prefix)
            if fields:
                holder = await self._holder(name, user)
                page = await holder.recent(0)
                changes.append(SharedChange(holder, fields, self._ttl_of(page)))
        return changes

    async def change(self, changes: list[SharedChange]) -> None:
        """
        Carry out what was planned.

        Raises:
            TooLargeError: a state would be over its limit.
        """
        for holder, fields, ttl in changes:
            await holder.set_fields(fields, ttl_seconds=ttl)

    async def read(self, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of the app and of the user, under their prefixes."""
        app, user = await asyncio.gather(
            self._held(f"app:{app_name}", ""), self.of_user(app_name, user_id)
        )
        return {
            **{State.APP_PREFIX + name: value for name, value in app.items()},
            **{State.USER_PREFIX + name: value for name, value in user.items()},
        }

    async def of_user(self, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of a user, without its prefix."""
        return await self._held(f"user:{app_name}", user_id)

    async def outlive(self, app_name: str, user_id: str) -> None:
        """See that the state lives at least as long as a session that is changed now."""
        for name, user in ((f"app:{app_name}", ""), (f"user:{app_name}", user_id)):
            holder = await self._holder(name, user)
            if self._is_due(holder.key):
                await self._renew(holder, await holder.recent(0, consistency=mc.NEWEST))

    async def _held(self, name: str, user_id: str) -> dict[str, Any]:
        holder = await self._holder(name, user_id)
        page = await holder.recent(0, consistency=mc.NEWEST)
        await self._renew(holder, page)
        with reading("the state that ADK's sessions share"):
            return dict(map(_entry, page.fields.items()))

    def _is_due(self, key: mc.SessionKey) -> bool:
        if self._session_ttl is None:
            return False
        return self._clock.now() - self._renewed.get(key, -MAX_TTL_SECONDS) > self._session_ttl / 2

    async def _renew(self, holder: mc.Session, page: mc.Page) -> None:
        """Have the state live for its whole time again, if that is due, or for a longer one."""
        due, ttl = self._is_due(holder.key), self._ttl_of(page)
        if page.exists and (due or ttl is not mc.UNCHANGED):
            await holder.set_fields({}, ttl_seconds=ttl)
        if due:
            # Made by somebody else since, it has its whole time from then on.
            if len(self._renewed) >= _MOST_NOTED:
                self._renewed.clear()
            self._renewed[holder.key] = self._clock.now()

    def _ttl_of(self, page: mc.Page) -> int | Literal[Word.UNCHANGED] | None:
        """Return the time to live that a state is to have: never less than it has."""
        held = page.ttl_seconds
        if self._ttl is None:
            return mc.UNCHANGED if held is None else None
        if page.exists and (held is None or held >= self._ttl):
            return mc.UNCHANGED
        return self._ttl

    async def _holder(self, name: str, user_id: str) -> mc.Session:
        cache = await self._source.get()
        return cache.session(name, namespace=self.namespace, user_id=user_id).large()


def _fields(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return what a state has under a prefix as fields; ``_entry`` reads one back."""
    fields: dict[str, Any] = {}
    for key, value in state.items():
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix)
        if CARRIED in packed({name: None}) or name.startswith('"'):
            # Its text is the name then. One that looks like a text of ours is made one, too.
            fields[text_of(name)] = {"name": text_of(name), "text": text_of(value)}
        elif CARRIED in packed({"field": [value]}):
            fields[name] = {"text": text_of(value)}
        else:
            fields[name] = [value]
    return fields


def _entry(field: tuple[str, Any]) -> tuple[str, Any]:
    name, held = field
    if isinstance(held, dict):
        return value_of(held["name"]) if "name" in held else name, value_of(held["text"])
    (value,) = held
    return name, value
