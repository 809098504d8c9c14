"""
The time to live of threads: all sessions that one has end at the same moment.

A thread has many sessions, of which a step writes a few. So a moment to end at holds for an eighth
of the time to live, whoever writes; the first write after that puts all of them off.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import time
from typing import Final

import memory_cache as mc
from memory_cache._wishes import MAX_TTL_SECONDS

_PARTS: Final = 8
_MOST: Final = 4096
_AT_ONCE: Final = 128


class TimeToLive:
    """How long threads live after each write: ``ttl_seconds``, and up to an eighth longer."""

    def __init__(
        self,
        ttl_seconds: int | None,
        namespaces: Sequence[str],
        sessions: Callable[[str, str], Awaitable[list[mc.Session]]],
    ) -> None:
        """
        Give threads a time to live; None: for ever.

        ``sessions`` returns what a thread has in one of the ``namespaces``; of these the first
        are put off first, so sessions that others lead to come before them.

        Raises:
            InvalidInputError: it is below 1, or longer than a session can live.
        """
        if ttl_seconds is not None and not 1 <= ttl_seconds <= MAX_TTL_SECONDS:
            raise mc.InvalidInputError("ttl_seconds", f"must be 1 to {MAX_TTL_SECONDS}")
        self._ttl_seconds = ttl_seconds
        self._namespaces = namespaces
        self._sessions = sessions
        self._end = 0
        self._put_off = set[str]()

    async def left(self, thread: str) -> int | None:
        """Return the time to live of what is about to be written; the thread has it from now on."""
        if self._ttl_seconds is None:
            return None
        now, step = int(time()), max(self._ttl_seconds // _PARTS, 1)
        end = (now // step + 1) * step + self._ttl_seconds
        left = min(end - now, MAX_TTL_SECONDS)
        if end != self._end or len(self._put_off) >= _MOST:
            self._end, self._put_off = end, set()
        if thread not in self._put_off:
            for namespace in self._namespaces:
                found = await self._sessions(namespace, thread)
                for at in range(0, len(found), _AT_ONCE):
                    some = (_put_off(each, left) for each in found[at : at + _AT_ONCE])
                    await asyncio.gather(*some)
            if end == self._end:
                self._put_off.add(thread)
        return left


async def _put_off(session: mc.Session, seconds: int) -> None:
    page = await session.recent(0, consistency=mc.NEWEST)
    if page.version is not None:
        # Else it was written to meanwhile, which gave it a time to live, or was deleted.
        with suppress(mc.VersionMismatchError):
            await session.set_fields({}, if_version=page.version, ttl_seconds=seconds)
