"""
Which session a name means to clients of the contract.

Where there is none of just this name, a scope given as only one of user_id and namespace is
tried as the other (one client swaps them), and then the one session that has this id in what
was given of a scope. Which one that is, the store is asked each time.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from memory_cache import Page, Session, SessionCache, VersionLostError
from memory_cache_server.conditional import Read, Reading


async def candidates(cache: SessionCache, session: Session) -> AsyncGenerator[Session]:
    """Yield the sessions that a name may mean, first the one of just this name."""
    yield session
    namespace, user_id, session_id = session.key
    if namespace and user_id:
        return
    if namespace or user_id:
        yield cache.session(session_id, namespace=user_id, user_id=namespace)
    found = await cache.find(session_id, namespace=namespace, user_id=user_id, limit=2)
    if len(found) == 1:
        [key] = found
        yield cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)


async def find_page(cache: SessionCache, session: Session, reading: Reading, read: Read) -> Page:
    """
    Return the page of the first candidate that exists; else one of no session.

    Raises:
        VersionLostError: the client insists on a version, and none has it.
    """
    lost = reading.min_version and VersionLostError("the session does not exist any more")
    async with aclosing(candidates(cache, session)) as sessions:
        async for candidate in sessions:
            try:
                page = await reading.page(candidate, read)
            except VersionLostError as error:
                lost = error
                continue
            if page.exists:
                return page
    if lost:
        raise lost
    return Page.missing(session.key)
