import asyncio

import pytest

from library.helpers import record_of, said, until
from memory_cache import CacheConfig, InvalidInputError, SessionCache, SessionKey, open_cache
from support.valkey import ValkeyServer


async def make(cache: SessionCache, *names: tuple[str, str, str]) -> None:
    """Make sessions one after the other; a name is namespace, user, id."""
    for namespace, user_id, session_id in names:
        session = cache.session(session_id, namespace=namespace, user_id=user_id)
        await session.append(said(0))


def ids(sessions: tuple[SessionKey, ...]) -> list[str]:
    """The ids of sessions."""
    return [key.session_id for key in sessions]


async def test_scopes(any_cache: SessionCache) -> None:
    """A list is of all sessions, of a namespace, of a user, or of a user in a namespace."""
    cache = any_cache
    await make(
        cache, ("", "", "a"), ("n", "", "b"), ("", "u", "c"), ("n", "u", "d"), ("m", "u", "e")
    )
    for namespace, user_id, want in (
        (None, None, "edcba"),
        ("n", None, "db"),
        (None, "u", "edc"),
        ("n", "u", "d"),
        ("m", None, "e"),
        ("x", None, ""),
        ("m", "x", ""),
    ):
        listed = await cache.list_sessions(namespace=namespace, user_id=user_id)
        assert ids(listed.sessions) == list(want)
        assert listed.total == len(want)
        oldest = await cache.list_sessions(namespace=namespace, user_id=user_id, newest_first=False)
        assert ids(oldest.sessions) == list(want)[::-1]


async def test_pages(cache: SessionCache) -> None:
    """Limit and offset cut the list; the total is of all."""
    await make(cache, *(("", "", f"s{at:02}") for at in range(25)))
    names = [f"s{at:02}" for at in reversed(range(25))]
    for limit, offset in ((10, 0), (10, 10), (10, 20), (10, 30), (1, 24), (1000, 0)):
        listed = await cache.list_sessions(limit=limit, offset=offset)
        assert ids(listed.sessions) == names[offset : offset + limit]
        assert listed.total == 25


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (1001, 0), (1, -1), (1, 2**63)])
async def test_out_of_range(cache: SessionCache, limit: int, offset: int) -> None:
    """A limit is 1 to 1000, an offset not negative and not beyond what can be counted."""
    with pytest.raises(InvalidInputError):
        await cache.list_sessions(limit=limit, offset=offset)


async def test_every_way_to_make_a_session_enters_it(cache: SessionCache) -> None:
    """Whatever made a session, once it is acknowledged it is listed and found."""
    await cache.session("append").append([])
    await cache.session("replace").replace([])
    await cache.session("put").put([], {})
    await cache.session("fields").set_fields({})
    assert (await cache.list_sessions()).total == 4
    for name in ("append", "replace", "put", "fields"):
        assert ids(await cache.find(name)) == [name]


async def test_find(cache: SessionCache) -> None:
    """An id alone finds every session that has it; a scope that is given narrows that."""
    await make(cache, ("n", "u", "x"), ("m", "u", "x"), ("", "", "x"), ("n", "u", "y"))
    assert set(await cache.find("x")) == {
        SessionKey("n", "u", "x"),
        SessionKey("m", "u", "x"),
        SessionKey("", "", "x"),
    }
    assert await cache.find("x", namespace="n") == (SessionKey("n", "u", "x"),)
    assert len(await cache.find("x", user_id="u")) == 2
    assert await cache.find("x", namespace="n", user_id="v") == ()
    assert await cache.find("z") == ()


async def test_deleted_sessions_leave(cache: SessionCache, other_cache: SessionCache) -> None:
    """A deleted session is neither listed, nor found, nor counted, on any page and worker."""
    await make(cache, *(("n", "u", f"s{at:02}") for at in range(30)))
    for at in range(5):
        await cache.session(f"s{at:02}", namespace="n", user_id="u").delete()
    assert await cache.find("s03") == ()
    listed = await other_cache.list_sessions(limit=10, namespace="n")
    assert ids(listed.sessions) == [f"s{at:02}" for at in reversed(range(20, 30))]

    async def forgotten() -> bool:
        return (await other_cache.list_sessions(limit=10, namespace="n")).total == 25

    await until(forgotten)


async def test_many_stale_entries(valkey: ValkeyServer, cache: SessionCache) -> None:
    """Sessions that vanished without a word are passed over, however many: the page is full."""
    await make(cache, *(("", "", f"kept{at}") for at in range(10)))
    await make(cache, *(("", "", f"gone{at}") for at in range(60)))
    with valkey.admin as client:
        client.delete(*client.keys("*gone*}"))
    listed = await cache.list_sessions(limit=5)
    assert ids(listed.sessions) == [f"kept{at}" for at in reversed(range(5, 10))]


async def test_members_that_name_nothing(valkey: ValkeyServer, cache: SessionCache) -> None:
    """What somebody else put into the index is taken out of it, and hides no session."""
    await make(cache, ("", "", "kept"))
    strange = [b"garbage", b"\xff\xfe", b"a/b/c/d", b"//%6bept", b"//kept\n"]
    with valkey.admin as client:
        for name in ("mc:active", "mc:expires", "mc:id:kept"):
            client.zadd(name, dict.fromkeys(strange, 1))
        listed = await cache.list_sessions(limit=1, newest_first=False)
        assert (ids(listed.sessions), listed.total) == (["kept"], 1)
        assert ids(await cache.find("kept")) == ["kept"]
        for name in ("mc:active", "mc:expires", "mc:id:kept"):
            assert client.zrange(name, 0, -1) == ([] if name == "mc:expires" else [b"//kept"])


async def test_expired_sessions_leave(valkey: ValkeyServer, cache: SessionCache) -> None:
    """Expired sessions are not counted, also where the page asked for does not meet them."""
    await make(cache, ("", "", "early"))
    for at in range(5):
        await cache.session(f"brief{at}").append(said(0), ttl_seconds=1)
    late = cache.session("late")
    await late.append(said(0))
    await late.set_fields({}, ttl_seconds=1)
    await make(cache, ("", "", "stays"))
    with valkey.admin as client:
        for at in range(5):
            client.pexpire(record_of(valkey, f"brief{at}"), 1)
        client.pexpire(record_of(valkey, "late"), 1)

    async def gone() -> bool:
        listed = await cache.list_sessions(limit=1)
        assert ids(listed.sessions) == ["stays"]
        return listed.total == 2

    await until(gone)
    assert await cache.find("brief0") == ()


async def test_activity_moves_a_session(valkey_url: str) -> None:
    """A session that is written to comes first again, once its activity is noted."""
    async with open_cache(valkey_url, config=CacheConfig(touch_seconds=0.01)) as cache:
        await make(cache, ("", "", "a"), ("", "", "b"))

        async def first() -> bool:
            await cache.session("a").append(said(1))
            return ids((await cache.list_sessions()).sessions) == ["a", "b"]

        await until(first)


async def test_session_that_nobody_entered(valkey: ValkeyServer, cache: SessionCache) -> None:
    """A session that is not in the index is entered at its place; one that is keeps its own."""
    await make(cache, ("n", "u", "first"))
    lost = cache.session("lost", namespace="n", user_id="u")
    await lost.append(said(0), ttl_seconds=60)
    await make(cache, ("n", "u", "last"))
    with valkey.admin as client:
        # What a listing between the making and its last entry, and a kill before that, leave.
        for name in client.keys("mc:active*") + client.keys("mc:expires*") + [b"mc:id:lost"]:
            client.zrem(name, "n/u/lost")
        assert await cache.find("lost") == ()
        for name in ("first", "lost", "last", "never made"):
            await cache.session(name, namespace="n", user_id="u").relist()
        for namespace, user_id in ((None, None), ("n", None), (None, "u"), ("n", "u")):
            listed = await cache.list_sessions(namespace=namespace, user_id=user_id)
            assert (ids(listed.sessions), listed.total) == (["last", "lost", "first"], 3)
        assert ids(await cache.find("lost")) == ["lost"]
        assert client.zrange("mc:expires:b:n/u", 0, -1) == [b"n/u/lost"]


async def test_who_only_looks_leaves_no_key(valkey: ValkeyServer, valkey_url: str) -> None:
    """A cache without a near cache that only reads writes nothing at all into its store."""
    async with open_cache(valkey_url, config=CacheConfig(near_cache_bytes=0)) as cache:
        assert not (await cache.session("s").recent(5)).exists
        assert (await cache.list_sessions()).total == 0
    with valkey.admin as client:
        assert client.dbsize() == 0


async def test_concurrent_create_and_delete(cache: SessionCache, other_cache: SessionCache) -> None:
    """Whatever races, a session that exists afterwards is listed and found."""
    names = [f"s{at}" for at in range(8)]

    async def flicker(owner: SessionCache, name: str) -> None:
        for at in range(12):
            await owner.session(name, namespace="n").append(said(at))
            await owner.session(name, namespace="n").delete()
        await owner.session(name, namespace="n").append(said(99))

    async def look(owner: SessionCache) -> None:
        for _ in range(40):
            await owner.list_sessions(namespace="n")
            await owner.find("s1")

    owners = (cache, other_cache)
    await asyncio.gather(
        *(flicker(owners[at % 2], name) for at, name in enumerate(names)), *map(look, owners)
    )
    for name in names:
        assert ids(await cache.find(name)) == [name]
    listed = await other_cache.list_sessions(namespace="n")
    assert sorted(ids(listed.sessions)) == names
    assert listed.total == len(names)
