"""
The index: which sessions there are, by activity, by deadline and by id.

The session's key is the truth. An entry may be stale (its session expired, or was deleted);
it is removed when it is met, unless somebody touched it since. Creating a session enters it
first, so that who knows of the session finds it.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from memory_cache._names import decode_key, encode_key
from memory_cache._redis.keys import Keys
from memory_cache._redis.lane import Argument, Lane
from memory_cache._redis.script import FORGET
from memory_cache._types import SessionKey

_PURGE: Final = 500
"""Expired entries removed by one listing of many; the next goes on."""

_ROUNDS: Final = 8
_MOST_MET: Final = 4096
"""Entries looked at in one round, should most of them be stale."""

_GONE: Final = -2

_Entry = tuple[str, bytes]


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
        member, scopes = encode_key(key), self._keys.scopes(key)
        score = time.time_ns() // 1000 if since is None else since
        sets = [self._keys.ids(key.session_id), *map(self._keys.active, scopes)]
        scores = [(name, score) for name in sets]
        if expires_ms is not None:
            scores += [(self._keys.expires(scope), expires_ms) for scope in scopes]
        only = () if since is None else ("NX",)
        await self._all([("ZADD", name, *only, at, member) for name, at in scores])

    async def list_sessions(
        self, namespace: str, user_id: str, *, limit: int, offset: int, newest_first: bool
    ) -> tuple[list[SessionKey], int]:
        """Return a page of sessions by activity, and how many there are."""
        scope = self._keys.scopes(SessionKey(namespace, user_id, ""))[-1]
        await self._purge_expired(scope)
        command = "ZREVRANGE" if newest_first else "ZRANGE"
        name = self._keys.active(scope)
        size = limit
        for _ in range(_ROUNDS):
            total, found = await self._all(
                [("ZCARD", name), (command, name, offset, offset + size - 1, "WITHSCORES")]
            )
            entries = _entries(found)
            alive, stale = await self._sorted_out(entries)
            if len(alive) >= limit or len(entries) < size:
                break
            size = min(2 * size, _MOST_MET)
        return alive[:limit], total - len(stale)

    async def find(self, session_id: str, namespace: str, user_id: str) -> list[SessionKey]:
        """Return the sessions with this id whose scope is the given one, where it is given."""
        found = await self._lane.call("ZRANGE", self._keys.ids(session_id), 0, -1, "WITHSCORES")
        wanted = [
            entry
            for entry in _entries(found)
            if _in_scope(decode_key(entry[0]), namespace, user_id)
        ]
        return (await self._sorted_out(wanted))[0]

    async def _sorted_out(self, entries: Sequence[_Entry]) -> tuple[list[SessionKey], list[_Entry]]:
        """Return the sessions that exist; the other entries are removed, and returned too."""
        keys = [decode_key(member) for member, _ in entries]
        exist = await self._all([("EXISTS", self._keys.session(key)) for key in keys])
        stale = [entry for entry, lives in zip(entries, exist, strict=True) if not lives]
        await asyncio.gather(*(self._forget(*entry) for entry in stale))
        return [key for key, lives in zip(keys, exist, strict=True) if lives], stale

    async def _purge_expired(self, scope: str) -> None:
        name, now_ms = self._keys.expires(scope), time.time_ns() // 1_000_000
        due = await self._lane.call(
            "ZRANGEBYSCORE", name, 0, now_ms, "WITHSCORES", "LIMIT", 0, _PURGE
        )
        entries = _entries(due)
        # The scores first: a session that is made again after them has others.
        scores = await self._all([("ZSCORE", self._keys.active(scope), m) for m, _ in entries])
        deadlines = await self._all(
            [("PEXPIRETIME", self._keys.session(decode_key(member))) for member, _ in entries]
        )
        for (member, due_ms), score, deadline in zip(entries, scores, deadlines, strict=True):
            if deadline > 0:
                await self._lane.call("ZADD", name, deadline, member)
                continue
            if deadline == _GONE and score is not None:
                await self._forget(member, score)
            for other in self._keys.scopes(decode_key(member)):
                await self._lane.run_script(FORGET, [self._keys.expires(other)], member, due_ms)

    async def _forget(self, member: str, score: bytes) -> None:
        """Remove an entry from every set of its session where it has the score it was seen with."""
        key = decode_key(member)
        sets = [self._keys.ids(key.session_id), *map(self._keys.active, self._keys.scopes(key))]
        await asyncio.gather(
            *(self._lane.run_script(FORGET, [name], member, score) for name in sets)
        )

    async def _all(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        # The lane sends what is ready together, so this is one round trip.
        return await asyncio.gather(*(self._lane.call(*command) for command in commands))


def _entries(found: Sequence[bytes]) -> list[_Entry]:
    return [(found[at].decode(), found[at + 1]) for at in range(0, len(found), 2)]


def _in_scope(key: SessionKey, namespace: str, user_id: str) -> bool:
    return (not namespace or key.namespace == namespace) and (not user_id or key.user_id == user_id)
