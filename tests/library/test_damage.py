from collections.abc import Awaitable, Callable

import pytest
import redis

from library.helpers import check, heat, record_of, several
from memory_cache import (
    NEWEST,
    CacheConfig,
    DamagedSessionError,
    Session,
    SessionCache,
    open_cache,
)
from support.valkey import ValkeyServer

Damage = Callable[[redis.Redis, str], object]
Reading = Callable[[Session], Awaitable[object]]


async def iterate(session: Session) -> object:
    """Read by iteration."""
    return [message async for message in session]


EVERYTHING: list[Reading] = [
    lambda session: session.transcript(),
    lambda session: session.recent(1000),
    lambda session: session.page(after=-1, limit=1000),
    iterate,
]
TAIL: list[Reading] = [
    lambda session: session.recent(1),
    lambda session: session.append(several(0, 64)),
    lambda session: session.pop(),
]


def without(field: str) -> Damage:
    """Take a field away."""
    return lambda client, name: client.hdel(name, field)


def with_(field: str, value: bytes) -> Damage:
    """Overwrite a field."""
    return lambda client, name: client.hset(name, field, value)


def as_text(client: redis.Redis, name: str) -> None:
    """Put a string in the place of the record."""
    client.set(name, "text")


def shorter(client: redis.Redis, name: str) -> None:
    """Take the last message out of a sealed block."""
    bodies = client.hget(name, "b1")
    assert isinstance(bodies, bytes)
    client.hset(name, "b1", bodies.rpartition(b"\n")[0])


@pytest.mark.parametrize(
    ("damage", "readings"),
    [
        (without("b0"), EVERYTHING),
        (without("t0"), EVERYTHING),
        (without("b1"), EVERYTHING),
        (without("m129"), EVERYTHING + TAIL),
        (without("t2"), EVERYTHING + TAIL),
        (with_("t2", b"garbage"), EVERYTHING + TAIL[:1]),
        (with_("t2", b"0\n1 1"), EVERYTHING + TAIL[:1]),
        (with_("h", b"garbage"), EVERYTHING + TAIL),
        (with_("h", b"1 i 1 t 0 130 0 0 0 0 0 0 0 0 e:1"), EVERYTHING + TAIL),
        (without("h"), EVERYTHING + TAIL),
        (as_text, EVERYTHING + TAIL),
        (shorter, EVERYTHING[1:]),
    ],
)
async def test_damage_is_an_error(
    valkey: ValkeyServer, cache: SessionCache, damage: Damage, readings: list[Reading]
) -> None:
    """A record that cannot be read is an error of that session, and never a shorter transcript."""
    chat, sound = cache.session("chat"), cache.session("sound")
    await chat.append(several(0, 130))
    await sound.append(several(0, 130))
    with valkey.admin as client:
        damage(client, record_of(valkey, "chat"))
    async with open_cache(valkey.url, config=CacheConfig(near_cache_bytes=0)) as cold:
        for session in (chat, cold.session("chat")):
            for read in readings:
                with pytest.raises(DamagedSessionError):
                    await read(session)
    await check(sound, several(0, 130))


async def test_damage_can_be_replaced(valkey: ValkeyServer, cache: SessionCache) -> None:
    """A session that lost a block can be read where it is whole, replaced and deleted."""
    chat = cache.session("chat")
    mends: list[Callable[[], Awaitable[object]]] = [chat.delete, lambda: chat.replace([])]
    for mend in mends:
        await chat.replace(several(0, 130))
        with valkey.admin as client:
            client.hdel(record_of(valkey, "chat"), "b0")
        assert (await chat.recent(10)).messages == several(120, 130)
        await mend()
        assert (await chat.transcript()).messages == []


@pytest.mark.parametrize("damage", [as_text, without("h"), with_("h", b"9 unknown")])
async def test_damage_can_be_deleted(
    valkey: ValkeyServer, cache: SessionCache, other_cache: SessionCache, damage: Damage
) -> None:
    """What cannot be read is deleted, and told; but not by a retry of what was done before."""
    chat, other = cache.session("chat"), other_cache.session("chat")
    await chat.delete(operation_id="op")
    await chat.append(several(0, 3))
    await heat(other)
    with valkey.admin as client:
        damage(client, record_of(valkey, "chat"))
    assert (await chat.delete(operation_id="op")).replayed
    with pytest.raises(DamagedSessionError):
        await chat.transcript()
    with pytest.raises(DamagedSessionError):
        await chat.delete(if_version="a.b.1.c")
    assert (await chat.delete()).existed
    assert not (await other.recent(1, consistency=NEWEST)).exists
    await chat.append(several(0, 1))
    await check(other, several(0, 1))
