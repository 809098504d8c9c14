"""
The state that ADK's sessions share: an app's, and that of a user in it.

Each is the fields of a session without messages. A value is in a list there, for a field cannot
be null.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from google.adk.sessions import State

import memory_cache as mc
from memory_cache.adapters._source import CacheSource


class SharedState:
    """The state of apps and users, in one namespace."""

    def __init__(self, source: CacheSource, namespace: str, ttl_seconds: int | None) -> None:
        """Keep it in a namespace that no app has."""
        self.namespace = namespace
        self._source = source
        self._ttl_seconds = ttl_seconds

    async def change(self, app_name: str, user_id: str, state: Mapping[str, Any]) -> None:
        """Change what a session's state has under the prefixes of the app and of the user."""
        for prefix, name, user in (
            (State.APP_PREFIX, f"app:{app_name}", ""),
            (State.USER_PREFIX, f"user:{app_name}", user_id),
        ):
            given = {k.removeprefix(prefix): [v] for k, v in state.items() if k.startswith(prefix)}
            if given:
                holder = await self._holder(name, user)
                await holder.set_fields(given, ttl_seconds=self._ttl_seconds or mc.UNCHANGED)

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

    async def _held(self, name: str, user_id: str) -> dict[str, Any]:
        page = await (await self._holder(name, user_id)).recent(0, consistency=mc.NEWEST)
        return {field: value for field, (value,) in page.fields.items()}

    async def _holder(self, name: str, user_id: str) -> mc.Session:
        cache = await self._source.get()
        return cache.session(name, namespace=self.namespace, user_id=user_id)
