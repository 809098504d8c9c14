from collections.abc import Awaitable, Callable

import pytest

from library.helpers import heat, record_of, said, until
from memory_cache import NEWEST, InvalidInputError, Session, SessionCache
from support.valkey import ValkeyServer

LONG = 1000
"""Seconds that do not pass during a test."""


def left_ms(server: ValkeyServer) -> int:
    """Milliseconds the session has to live; -1: it does not expire."""
    name = record_of(server, "chat")
    with server.admin as client:
        left: int = client.pttl(name)
        return left


def age(server: ValkeyServer, milliseconds: int) -> None:
    """Let the session have only so long to live."""
    name = record_of(server, "chat")
    with server.admin as client:
        client.pexpire(name, milliseconds)


async def test_writes_restart_the_time_to_live(valkey: ValkeyServer, chat: Session) -> None:
    """A time to live that was given once counts from each of our writes."""
    await chat.append(said(0), ttl_seconds=LONG)
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: chat.append(said(1)),
        lambda: chat.append([]),
        lambda: chat.set_fields({"a": 1}),
        lambda: chat.replace([said(2), said(3)]),
        chat.pop,
    ]
    for write in writes:
        age(valkey, 500_000)
        await write()
        assert left_ms(valkey) > 900_000
        page = await chat.recent(1)
        assert page.ttl_seconds == LONG


async def test_time_to_live_is_changed_by_each_write(valkey: ValkeyServer, chat: Session) -> None:
    """Append, replace and fields set another time to live; fields take it away, too."""
    await chat.append(said(0))
    assert left_ms(valkey) == -1
    await chat.append(said(0), ttl_seconds=LONG)
    assert 900_000 < left_ms(valkey) <= 1_000_000
    await chat.replace([said(0)], ttl_seconds=2 * LONG)
    assert left_ms(valkey) > 1_900_000
    await chat.set_fields({}, ttl_seconds=3 * LONG)
    assert left_ms(valkey) > 2_900_000
    await chat.set_fields({"a": 1})
    assert left_ms(valkey) > 2_900_000
    await chat.set_fields({}, ttl_seconds=None)
    assert left_ms(valkey) == -1
    assert (await chat.recent(1)).ttl_seconds is None
    await chat.append(said(1))
    assert left_ms(valkey) == -1


async def test_put_without_ttl_keeps_ticking(valkey: ValkeyServer, chat: Session) -> None:
    """A PUT without a time to live leaves the deadline; later writes do not restart it."""
    await chat.put([], {}, ttl_seconds=LONG)
    assert (await chat.recent(0)).ttl_seconds == LONG
    age(valkey, 500_000)
    await chat.put([], {"a": 1})
    assert left_ms(valkey) <= 500_000
    assert (await chat.recent(0)).ttl_seconds is None
    await chat.append(said(0))
    await chat.replace([said(1)])
    assert 0 < left_ms(valkey) <= 500_000
    await chat.put([], {}, ttl_seconds=LONG)
    assert left_ms(valkey) > 900_000


async def test_time_that_is_left(chat: Session) -> None:
    """What the store gives a session is told, whether writes restart it or not."""
    assert await chat.expires_in() is None
    await chat.put([], {})
    assert await chat.expires_in() is None
    await chat.put([], {}, ttl_seconds=60)
    assert 50 < (await chat.expires_in() or 0) <= 60
    await chat.put([], {})
    assert (await chat.recent(0, consistency=NEWEST)).ttl_seconds is None
    assert 50 < (await chat.expires_in() or 0) <= 60


async def test_deleted_session_leaves_no_deadline(valkey: ValkeyServer, chat: Session) -> None:
    """A session that is made after a delete does not inherit a time to live."""
    await chat.append(said(0), ttl_seconds=LONG)
    await chat.delete()
    await chat.append(said(0))
    assert left_ms(valkey) == -1


@pytest.mark.parametrize("seconds", [0, -1, 10**10])
async def test_time_to_live_out_of_range(chat: Session, seconds: int) -> None:
    """A time to live is 1 second to 10 years."""
    with pytest.raises(InvalidInputError):
        await chat.append(said(0), ttl_seconds=seconds)
    with pytest.raises(InvalidInputError):
        await chat.set_fields({}, ttl_seconds=seconds)


async def test_expiry_is_seen_everywhere(
    cache: SessionCache, other_cache: SessionCache, chat: Session
) -> None:
    """A session that expired is gone from the near caches of all processes, without a message."""
    elsewhere = other_cache.session("chat", namespace="acme", user_id="u7")
    await chat.append(said(0), ttl_seconds=1)
    await heat(chat, elsewhere)
    await chat.append(said(1))
    assert chat.peek(1) is not None

    async def gone() -> bool:
        return not (await chat.transcript()).exists

    await until(gone)
    for session in (chat, elsewhere):
        assert session.peek(5) is None
        assert not (await session.recent(5)).exists
    assert cache.statistics().sessions_held == 0


async def test_longer_life_is_heard_elsewhere(other_cache: SessionCache, chat: Session) -> None:
    """A near cache that heard of a restarted deadline goes on answering beyond the old one."""
    elsewhere = other_cache.session("chat", namespace="acme", user_id="u7")
    await chat.append(said(0), ttl_seconds=1)
    await heat(elsewhere)
    version = (await chat.append(said(1), ttl_seconds=LONG)).version

    async def heard() -> bool:
        page = elsewhere.peek(1)
        return page is not None and page.version == version

    await until(heard)
    page = elsewhere.peek(1)
    assert page is not None
    assert page.ttl_seconds == LONG
