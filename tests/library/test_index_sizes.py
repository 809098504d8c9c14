"""The index where an id, a user or a namespace has more sessions than anybody can look through."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from library.helpers import said
from memory_cache import (
    CacheConfig,
    InvalidInputError,
    ScopeNeededError,
    SessionCache,
    SessionKey,
    open_cache,
)
from support.valkey import ValkeyServer

MANY = 200_000
LEAST_ACTIVE = 1_000_000
"""A time (microseconds since the epoch) long before any that the cache writes."""


class Seen:
    """What the store was asked."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.bytes_out = 0


@contextmanager
def watched(server: ValkeyServer) -> Iterator[Seen]:
    """Count what the store does inside: its commands (those of scripts too), and bytes sent."""
    seen = Seen()
    with server.admin as client:
        client.config_resetstat()
        yield seen
        seen.bytes_out = client.info("stats")["total_net_output_bytes"]
        for name, facts in client.info("commandstats").items():
            seen.calls[name.removeprefix("cmdstat_")] = facts["calls"]


def write(
    server: ValkeyServer, names: Sequence[str], members: Sequence[str], step: int = 1
) -> None:
    """Write entries into sets of the index, as any version of ours does; their sessions are not."""
    with server.admin as client, client.pipeline(transaction=False) as pipeline:
        for name in names:
            for start in range(0, len(members), 10_000):
                some = members[start : start + 10_000]
                scores = {member: LEAST_ACTIVE + step * at for at, member in enumerate(some, start)}
                pipeline.zadd(name, scores)
        pipeline.execute()


async def make(cache: SessionCache, *keys: SessionKey) -> None:
    """Make sessions, one after the other."""
    for namespace, user_id, session_id in keys:
        session = cache.session(session_id, namespace=namespace, user_id=user_id)
        await session.append(said(0))


@pytest.fixture(scope="module")
def shared() -> Iterator[ValkeyServer]:
    """A store in which many users of one namespace have a session `main`."""
    with ValkeyServer() as server:
        members = [f"app/u{at}/main" for at in range(MANY)]
        write(server, ["mc:id:main", "mc:active", "mc:active:n:app"], members)
        with server.admin as client, client.pipeline(transaction=False) as pipeline:
            for member in members:
                pipeline.hset(f"mc:{{{member}}}", "h", "of any form")
            pipeline.execute()
        yield server


@pytest.mark.parametrize(
    ("namespace", "user_id", "want"),
    [
        (None, None, [("app", "u0", "main"), ("app", "u1", "main")]),
        ("app", None, [("app", "u0", "main"), ("app", "u1", "main")]),
        (None, "mine", [("app", "mine", "main")]),
        ("alone", None, [("alone", "", "main")]),
        ("app", "mine", [("app", "mine", "main")]),
        ("app", "nobody", []),
        ("nowhere", None, []),
    ],
)
async def test_id_that_many_share(
    shared: ValkeyServer, namespace: str | None, user_id: str | None, want: list[tuple[str, ...]]
) -> None:
    """What a look-up reads does not depend on how many sessions have the id."""
    async with open_cache(shared.url) as cache:
        await make(cache, SessionKey("app", "mine", "main"), SessionKey("alone", "", "main"))
        with watched(shared) as seen:
            found = await cache.find("main", namespace=namespace, user_id=user_id, limit=2)
    assert list(found) == want
    assert seen.calls.get("exists", 0) <= 32
    assert seen.calls.get("zrangebyscore", 0) <= 1
    assert seen.bytes_out < 20_000
    if namespace and user_id:
        assert not {"zcard", "zrange", "zrangebyscore", "zrevrange"} & seen.calls.keys()


async def test_delete_of_an_id_that_many_share(shared: ValkeyServer) -> None:
    """A delete takes what is entered of its session, and reads nothing of the others."""
    gone, never_made = SessionKey("app", "gone", "main"), SessionKey("app", "nobody", "main")
    async with open_cache(shared.url) as cache:
        await cache.session("main", namespace="app", user_id="gone").append(said(0), ttl_seconds=60)
    with watched(shared) as seen:
        # When it is closed, what nobody awaits is done.
        async with open_cache(shared.url, config=CacheConfig(near_cache_bytes=0)) as cache:
            for namespace, user_id, session_id in (gone, never_made):
                await cache.session(session_id, namespace=namespace, user_id=user_id).delete()
    assert seen.bytes_out < 20_000
    assert {name: count for name, count in seen.calls.items() if name[0] == "z"} == {"zrem": 2 * 9}
    with shared.admin as client:
        for name in client.keys("mc:active*") + client.keys("mc:expires*") + [b"mc:id:main"]:
            assert client.zscore(name, "app/gone/main") is None
        assert client.zcard("mc:id:main") >= MANY


async def test_stale_entries_in_front(valkey: ValkeyServer, cache: SessionCache) -> None:
    """Thousands of entries whose sessions are gone are passed, and removed from every set."""
    members = [f"n/u{at}/main" for at in range(5000)]
    write(valkey, ["mc:id:main", "mc:active", "mc:active:n:n", "mc:expires"], members)
    await make(cache, SessionKey("n", "mine", "main"))
    with watched(valkey) as seen:
        assert await cache.find("main", limit=2) == (SessionKey("n", "mine", "main"),)
    assert seen.calls["evalsha"] < 60
    with valkey.admin as client:
        for name in ("mc:id:main", "mc:active", "mc:active:n:n"):
            assert client.zrange(name, 0, -1) == [b"n/mine/main"]
        assert not client.exists("mc:expires")


async def test_stale_entries_beyond_the_bound(valkey: ValkeyServer, cache: SessionCache) -> None:
    """More than one look-up reads are no "not found": the error says what to give, and to whom."""
    write(valkey, ["mc:id:main"], [f"n/u{at}/main" for at in range(20_000)])
    mine = SessionKey("n", "mine", "main")
    await make(cache, mine)
    with watched(valkey) as seen, pytest.raises(ScopeNeededError) as caught:
        await cache.find("main", limit=2)
    assert (caught.value.field, caught.value.applied) == ("namespace and user_id", "no")
    assert seen.calls["exists"] < 10_000
    assert await cache.find("main", namespace="n", user_id="mine") == (mine,)
    # What was met is gone: whoever asks again comes further.
    with pytest.raises(ScopeNeededError):
        await cache.find("main", limit=2)
    assert await cache.find("main", limit=2) == (mine,)


async def test_half_a_scope(valkey: ValkeyServer, cache: SessionCache) -> None:
    """Of id and scope the one with fewer sessions is looked through; both too large is an error."""
    write(valkey, ["mc:id:main"], [f"other/u{at}/main" for at in range(20_000)])
    few = [f"few/u{at}/s{at}" for at in range(300)]
    write(valkey, ["mc:active:n:few"], few)
    write(valkey, ["mc:active:n:app"], [f"app/u{at}/s{at}" for at in range(20_000)])
    wanted = SessionKey("few", "u", "main")
    await make(cache, wanted, SessionKey("app", "u", "rare"), SessionKey("app", "u", "main"))
    assert await cache.find("main", namespace="few", limit=2) == (wanted,)
    assert await cache.find("rare", namespace="app", limit=2) == (SessionKey("app", "u", "rare"),)
    assert set(await cache.find("main", user_id="u")) == {wanted, SessionKey("app", "u", "main")}
    with watched(valkey) as seen, pytest.raises(ScopeNeededError) as caught:
        await cache.find("main", namespace="app", limit=2)
    assert caught.value.field == "user_id"
    assert seen.calls["zrangebyscore"] < 60
    assert "exists" not in seen.calls
    with valkey.admin as client:
        # Entries of other ids and scopes are not this look-up's to judge.
        assert client.zcard("mc:active:n:few") == 301


async def test_entries_of_one_moment(valkey: ValkeyServer, cache: SessionCache) -> None:
    """However many entries have the same time, those behind them are found."""
    write(valkey, ["mc:id:main"], [f"n/u{at:04}/main" for at in range(3000)], step=0)
    write(valkey, ["mc:active:n:z"], [f"z/u{at:04}/main" for at in range(4000)], step=0)
    with valkey.admin as client:
        client.zadd("mc:id:main", {"z/u/main": LEAST_ACTIVE})
        client.hset("mc:{z/u/main}", "h", "of any form")
    assert await cache.find("main", namespace="z", limit=2) == (SessionKey("z", "u", "main"),)
    with valkey.admin as client:
        assert client.zcard("mc:id:main") == 3001


async def test_expired_are_purged_at_once(valkey: ValkeyServer, cache: SessionCache) -> None:
    """Five hundred expired sessions cost a listing some scripts, not some calls each."""
    members = [f"n/u{at}/s{at}" for at in range(500)]
    own = [name for at in range(500) for name in (f"mc:id:s{at}", f"mc:active:u:u{at}")]
    write(valkey, ["mc:expires", "mc:expires:n:n", "mc:active", "mc:active:n:n"], members)
    for at in range(500):
        write(valkey, own[2 * at : 2 * at + 2], members[at : at + 1])
    await make(cache, SessionKey("n", "", "stays"))
    with watched(valkey) as seen:
        listed = await cache.list_sessions(limit=1)
    assert (listed.sessions, listed.total) == ((SessionKey("n", "", "stays"),), 1)
    assert seen.calls["evalsha"] < 20
    assert "pexpiretime" in seen.calls
    with valkey.admin as client:
        assert client.zrange("mc:active:n:n", 0, -1) == [b"n//stays"]
        assert client.exists("mc:expires", "mc:expires:n:n", *own) == 0


async def test_deadlines_are_put_right(valkey: ValkeyServer, cache: SessionCache) -> None:
    """A deadline that passed while its session lives on is moved, or removed where it has none."""
    await cache.session("later", namespace="n").append(said(0), ttl_seconds=3600)
    await cache.session("forever", namespace="n").append(said(0))
    sets = ("mc:expires", "mc:expires:n:n")
    write(valkey, sets, ["n//later", "n//forever"])
    listed = await cache.list_sessions(namespace="n")
    assert {key.session_id for key in listed.sessions} == {"later", "forever"}
    assert listed.total == 2
    with valkey.admin as client:
        deadline = client.pexpiretime("mc:{n//later}")
        for name in sets:
            assert client.zrange(name, 0, -1, withscores=True) == [(b"n//later", deadline)]


@pytest.mark.parametrize("limit", [0, 1001])
async def test_limit_of_a_lookup(cache: SessionCache, limit: int) -> None:
    """A limit is 1 to 1000."""
    with pytest.raises(InvalidInputError):
        await cache.find("s", limit=limit)
