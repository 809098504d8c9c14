"""Sessions as a person looks for them: by name, or all of a scope."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from memory_cache import (
    DamagedSessionError,
    Page,
    Session,
    SessionCache,
    SessionKey,
    SessionList,
)
from memory_cache_server.message_text import clean
from memory_cache_server.rendering import micros_text

MOST: Final = 1000
_AT_ONCE: Final = 32
_ROUNDS: Final = 4
"""How often the front of a listing is looked at again: sessions that are made go on for ever."""
_NAMED: Final = 10
"""Scopes that are told of an id which several sessions have."""


class NotFoundError(Exception):
    """No session, or more than one, is meant; says which there are."""


async def named(
    cache: SessionCache, session_id: str, namespace: str | None, user_id: str | None
) -> Session:
    """
    Return the session of just this name, else the one that has this id in what is given of a scope.

    Raises:
        NotFoundError: there is none, or more than one.
        ScopeNeededError: too many sessions have the id to look through them.
    """
    exact = cache.session(session_id, namespace=namespace, user_id=user_id)
    # The session itself is the truth: the index may not have it.
    if (await exact.recent(0)).exists:
        return exact
    found = await cache.find(session_id, namespace=namespace, user_id=user_id, limit=_NAMED + 1)
    if len(found) == 1:
        return handle(cache, found[0])
    if not found:
        raise NotFoundError(f"there is no session {clean(session_id)} of this name")
    scopes = "; ".join(scope(key) for key in found[:_NAMED])
    if len(found) > _NAMED:
        scopes += "; and more"
    raise NotFoundError(f"several sessions have the id {clean(session_id)}: {scopes}")


@dataclass(frozen=True, slots=True)
class Seen:
    """A session that is listed, without its messages; ``page`` is None if it cannot be read."""

    key: SessionKey
    page: Page | None


def handle(cache: SessionCache, key: SessionKey) -> Session:
    """Return the handle of a session that is listed."""
    return cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)


def scope(key: SessionKey) -> str:
    """Return the flags that name a scope."""
    flags = (("--namespace", key.namespace), ("--user-id", key.user_id))
    return " ".join(f"{flag} {clean(name)}" for flag, name in flags if name) or "without a scope"


async def heads(cache: SessionCache, keys: Sequence[SessionKey]) -> list[Seen]:
    """Return the sessions of these names that are there; a damaged one hides no other."""
    found: list[Seen] = []
    for start in range(0, len(keys), _AT_ONCE):
        found += await asyncio.gather(
            *(_seen(cache, key) for key in keys[start : start + _AT_ONCE])
        )
    return [seen for seen in found if seen.page is None or seen.page.exists]


async def _seen(cache: SessionCache, key: SessionKey) -> Seen:
    try:
        return Seen(key, await handle(cache, key).recent(0))
    except DamagedSessionError:
        return Seen(key, None)


async def some(
    cache: SessionCache,
    namespace: str | None,
    user_id: str | None,
    *,
    limit: int,
    newest_first: bool = True,
) -> list[SessionKey]:
    """Return up to so many sessions of a scope."""
    keys: list[SessionKey] = []
    async with aclosing(every(cache, namespace, user_id, newest_first=newest_first)) as found:
        async for key in found:
            keys.append(key)
            if len(keys) == limit:
                break
    return keys


async def every(
    cache: SessionCache,
    namespace: str | None,
    user_id: str | None,
    *,
    newest_first: bool = True,
) -> AsyncGenerator[SessionKey]:
    """
    Yield all sessions of a scope, each once, in pages: it is no snapshot.

    The newest first, none is missed that is there all the time: one that is used meanwhile moves to
    the front, so that is looked at again. The oldest first, it may be behind those that were met.
    """
    seen: set[SessionKey] = set()
    for again in range(_ROUNDS):
        async with aclosing(_pages(cache, namespace, user_id, newest_first=newest_first)) as pages:
            async for page in pages:
                new = [key for key in page.sessions if key not in seen]
                if again and not new:
                    return
                seen.update(new)
                for key in new:
                    yield key
        if not newest_first:
            return


async def _pages(
    cache: SessionCache, namespace: str | None, user_id: str | None, *, newest_first: bool
) -> AsyncGenerator[SessionList]:
    """Yield the pages of a listing; what leaves it meanwhile hides nothing of what is behind."""
    offset, total = 0, 0
    while True:
        page = await cache.list_sessions(
            namespace=namespace,
            user_id=user_id,
            limit=MOST,
            offset=offset,
            newest_first=newest_first,
        )
        yield page
        left, total = total - page.total, page.total
        if left > 0:
            # Those behind came nearer by as many, at most.
            offset = max(0, offset - left)
            continue
        # A page may be short: so many stale entries, and no more, are passed over for one.
        offset += len(page.sessions)
        if offset >= total:
            return


def document(seen: Seen) -> dict[str, Any]:
    """Return what a session is, without its messages."""
    key, page = seen.key, seen.page
    name = {
        "namespace": key.namespace or None,
        "user_id": key.user_id or None,
        "session_id": key.session_id,
    }
    return {**name, "damaged": True} if page is None else {**name, **facts(page)}


def facts(page: Page) -> dict[str, Any]:
    """Return what is known of a session beside its name and its messages."""
    return {
        "messages": page.next - page.first,
        "bytes": page.header.size if page.header else 0,
        "token_count": page.token_count,
        "ttl_seconds": page.ttl_seconds,
        "created_at": micros_text(page.created_at),
        "updated_at": micros_text(page.updated_at),
        "version": str(page.version),
    }
