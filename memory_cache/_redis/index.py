"""
The index: which sessions there are, by activity, by deadline and by id.

The session's key is the truth. An entry may be stale (its session expired, or was deleted);
it is removed when it is met. Creating a session enters it first, so that who knows of the
session finds it. However many sessions an id or a scope has, no call reads more of a set than
a stated number of entries.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import ResponseError

from memory_cache._errors import ScopeNeededError
from memory_cache._names import decode_key, encode_key
from memory_cache._redis.keys import Keys
from memory_cache._redis.lane import Argument, Lane
from memory_cache._redis.script import FORGET
from memory_cache._types import SessionKey

_PURGE: Final = 500
"""Expired entries removed by one listing of many; the next goes on."""

_FORGOTTEN: Final = 128
"""Sessions in one script that removes entries; it holds the server for some 1 ms."""

_SLICE: Final = 256
_FIRST_SLICE: Final = 32
"""Entries read at once by a look-up: few at first, for most ids have one session."""

_MOST_MET: Final = 8192
"""Entries that one look-up reads, or one listing that meets stale ones."""

_MOST_LISTED: Final = 1024
"""Entries that a listing reads at once, should most of them be stale."""


class Index:
    """Sorted sets of encoded session names."""

    def __init__(self, lane: Lane, keys: Keys) -> None:
        """Use the lane; errors are the server's own."""
        self._lane = lane
        self._keys = keys

    async def touch(
        self, key: SessionKey, expires_ms: int | None, since: int | None = None
    ) -> None:
        """Enter the session; ``expires_ms``: its deadline since the epoch; see the port."""
        member = encode_key(key)
        score = time.time_ns() // 1000 if since is None else since
        scores = [(name, score) for name in self._entered(key)]
        if expires_ms is not None:
            scores += [(name, expires_ms) for name in self._deadlines(key)]
        only = () if since is None else ("NX",)
        await self._all([("ZADD", name, *only, at, member) for name, at in scores])

    async def forget(self, keys: Sequence[SessionKey]) -> None:
        """Remove the entries of sessions that are gone, put right the deadlines of others."""
        for start in range(0, len(keys), _FORGOTTEN):
            await self._forget(keys[start : start + _FORGOTTEN])

    async def list_sessions(
        self, namespace: str, user_id: str, *, limit: int, offset: int, newest_first: bool
    ) -> tuple[list[SessionKey], int]:
        """Return a page of sessions by activity, and how many there are."""
        scope = self._keys.scopes(SessionKey(namespace, user_id, ""))[-1]
        await self._purge_expired(scope)
        command = "ZREVRANGE" if newest_first else "ZRANGE"
        name = self._keys.active(scope)
        size, met = limit, 0
        while True:
            total, found = await self._all(
                [("ZCARD", name), (command, name, offset, offset + size - 1)]
            )
            keys = await self._known(name, found)
            alive, gone = await self._sorted_out(keys)
            gone += len(found) - len(keys)
            met += len(found)
            if len(alive) >= limit or len(found) < size or met >= _MOST_MET:
                return alive[:limit], total - gone
            size = min(2 * size, _MOST_LISTED)

    async def find(
        self, session_id: str, namespace: str, user_id: str, limit: int
    ) -> list[SessionKey]:
        """Return sessions with this id whose scope is the given one, where it is given."""
        wanted = SessionKey(namespace, user_id, session_id)
        if namespace and user_id:
            [exists] = await self._exist([wanted])
            return [wanted] if exists else []
        name = self._keys.ids(session_id)
        if namespace or user_id:
            name = await self._smaller(name, self._keys.active(self._keys.scopes(wanted)[-1]))
        return await self._walk(name, lambda key: _fits(key, wanted), wanted, limit)

    async def _walk(
        self, name: str, fits: Callable[[SessionKey], bool], wanted: SessionKey, limit: int
    ) -> list[SessionKey]:
        """
        Return the sessions of a set that fit, the least recently active first.

        By scores, not by ranks: who moves meanwhile is met again, and what others remove hides
        nothing.
        """
        found: dict[SessionKey, None] = {}
        since, size, met = b"-inf", _FIRST_SLICE, 0
        while True:
            slice_ = await self._lane.call(
                "ZRANGEBYSCORE", name, since, "+inf", "WITHSCORES", "LIMIT", 0, size
            )
            members = slice_[::2]
            keys = await self._known(name, members)
            alive, _ = await self._sorted_out([key for key in keys if fits(key)])
            found.update(dict.fromkeys(alive))
            met += len(members)
            if len(found) >= limit or len(members) < size:
                return list(found)[:limit]
            if met >= _MOST_MET:
                raise _too_many(wanted)
            # A slice that is all of one score would come again.
            size = 2 * size if slice_[-1] == since else min(2 * size, _SLICE)
            since = slice_[-1]

    async def _smaller(self, *names: str) -> str:
        sizes = await self._all([("ZCARD", name) for name in names])
        return min(zip(sizes, names, strict=True))[1]

    async def _exist(self, keys: Sequence[SessionKey]) -> list[int]:
        return await self._all([("EXISTS", self._keys.session(key)) for key in keys])

    async def _sorted_out(self, keys: Sequence[SessionKey]) -> tuple[list[SessionKey], int]:
        """Return the sessions that exist; the others are forgotten, and counted."""
        exist = await self._exist(keys)
        gone = [key for key, lives in zip(keys, exist, strict=True) if not lives]
        await self._tidy(gone)
        return [key for key, lives in zip(keys, exist, strict=True) if lives], len(gone)

    async def _purge_expired(self, scope: str) -> None:
        name, now_ms = self._keys.expires(scope), time.time_ns() // 1_000_000
        due = await self._lane.call("ZRANGEBYSCORE", name, 0, now_ms, "LIMIT", 0, _PURGE)
        await self._tidy(await self._known(name, due))

    async def _known(self, name: str, members: Sequence[bytes]) -> list[SessionKey]:
        """Return the sessions that members of a set name; what names none is taken out of it."""
        keys = [_key(member) for member in members]
        strange = [member for member, key in zip(members, keys, strict=True) if key is None]
        if strange:
            with suppress(ResponseError):  # as `_tidy`
                await self._lane.call("ZREM", name, *strange)
        return [key for key in keys if key is not None]

    async def _tidy(self, keys: Sequence[SessionKey]) -> None:
        """Forget what a reader met; one who may not write, or not now, leaves it to others."""
        with suppress(ResponseError):
            await self.forget(keys)

    async def _forget(self, keys: Sequence[SessionKey]) -> None:
        names: list[str] = []
        args: list[Argument] = []
        for key in keys:
            active, deadlines = self._entered(key), self._deadlines(key)
            names += [self._keys.session(key), *active, *deadlines]
            args += [encode_key(key), len(active), len(deadlines)]
        await self._lane.run_script(FORGET, names, *args)

    def _entered(self, key: SessionKey) -> list[str]:
        """Return the sets that a session is in by its id and by its activity."""
        return [self._keys.ids(key.session_id), *map(self._keys.active, self._keys.scopes(key))]

    def _deadlines(self, key: SessionKey) -> list[str]:
        """Return the sets that a session which expires is in by its deadline."""
        return [*map(self._keys.expires, self._keys.scopes(key))]

    async def _all(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        # The lane sends what is ready together, so this is one round trip.
        return await asyncio.gather(*(self._lane.call(*command) for command in commands))


def _too_many(wanted: SessionKey) -> ScopeNeededError:
    parts = (("namespace", wanted.namespace), ("user_id", wanted.user_id))
    missing = " and ".join(field for field, given in parts if not given)
    reason = "must be given, too: there are too many sessions of this id to look through"
    return ScopeNeededError(missing, reason)


def _key(member: bytes) -> SessionKey | None:
    """Return the session that a member names; None: we write no such member."""
    try:
        text = member.decode()
        key = decode_key(text)
    except ValueError:
        return None
    return key if encode_key(key) == text else None


def _fits(key: SessionKey, wanted: SessionKey) -> bool:
    return (
        key.session_id == wanted.session_id
        and wanted.namespace in {"", key.namespace}
        and wanted.user_id in {"", key.user_id}
    )
