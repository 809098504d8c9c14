from itertools import product

import pytest

from library.helpers import said
from memory_cache import InvalidNameError, SessionCache, SessionKey

PARTS = ["", "a", "a/b", "b", "/", "%2F", "{a}", "}", "é", "e\u0301", "a b", ":", "\U0001f600", "*"]


async def test_odd_names_never_share_a_session(any_cache: SessionCache) -> None:
    """Sessions whose names differ in any part, by any character, are different sessions."""
    parts = product(PARTS, PARTS, PARTS[1:])
    names = [SessionKey(*name) for name in parts][::7]
    for key in names:
        session = any_cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)
        assert session.key == key
        await session.append(said(0, name=list(key)))
    for key in names:
        session = any_cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)
        assert [message["name"] for message in (await session.transcript()).messages] == [list(key)]
    listed = await any_cache.list_sessions(limit=1000)
    assert listed.total == len(names)
    assert set(listed.sessions) == set(names)


async def test_absent_and_empty_scopes_are_the_same(cache: SessionCache) -> None:
    """None and empty name the same session."""
    await cache.session("chat", namespace="", user_id=None).append(said(0))
    assert (await cache.session("chat").recent(1)).messages == [said(0)]


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 513, "\ud800"])
async def test_names_that_are_refused(cache: SessionCache, name: str) -> None:
    """A name that is no printable text of at most 512 bytes is refused wherever it is given."""
    with pytest.raises(InvalidNameError):
        cache.session(name)
    with pytest.raises(InvalidNameError):
        await cache.find(name)
    if name:
        with pytest.raises(InvalidNameError):
            await cache.list_sessions(namespace=name)
