import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from library.helpers import heat, record_of, said, several, until
from memory_cache import CacheConfig, Session, SessionCache, Tier, open_cache
from support.valkey import ValkeyServer

SWEPT = CacheConfig(sweep_seconds=0.05)
ASIDE = "aside"
"""A prefix: what is changed there is heard by nobody here."""


@pytest.fixture
async def swept(valkey_url: str) -> AsyncIterator[SessionCache]:
    """A cache that audits twenty times a second."""
    async with open_cache(valkey_url, config=SWEPT) as cache:
        yield cache


@pytest.fixture
async def aside(valkey_url: str) -> AsyncIterator[Session]:
    """The same session, as a cache has it that works aside."""
    async with open_cache(valkey_url, config=replace(SWEPT, prefix=ASIDE)) as cache:
        yield cache.session("chat")


def _copy(server: ValkeyServer, source: str, to: str) -> None:
    with server.admin as client:
        assert client.copy(source, to, replace=True)


def _names(server: ValkeyServer) -> tuple[str, str]:
    """The key of the session, and its key aside."""
    with server.admin as client:
        [name] = (key.decode() for key in client.keys(f"{SWEPT.prefix}:*chat}}"))
    return name, name.replace(SWEPT.prefix, ASIDE, 1)


async def _behind(server: ValkeyServer, chat: Session, aside: Session) -> None:
    del chat
    name, other = _names(server)
    _copy(server, name, other)
    await aside.append(said(1))
    _copy(server, other, name)


async def _rollback(server: ValkeyServer, chat: Session, aside: Session) -> None:
    del aside
    name, other = _names(server)
    _copy(server, name, other)
    await chat.append(said(1))
    _copy(server, other, name)


async def _fork(server: ValkeyServer, chat: Session, aside: Session) -> None:
    name, other = _names(server)
    _copy(server, name, other)
    await chat.append(said(1))
    await aside.append(said(2))
    _copy(server, other, name)


async def _incarnation(server: ValkeyServer, chat: Session, aside: Session) -> None:
    del chat
    name, other = _names(server)
    await aside.append(said(1))
    _copy(server, other, name)


async def _gone(server: ValkeyServer, chat: Session, aside: Session) -> None:
    del chat, aside
    with server.admin as client:
        assert client.delete(_names(server)[0])


Plant = Callable[[ValkeyServer, Session, Session], Awaitable[None]]


@pytest.mark.parametrize(
    ("plant", "left"),
    [
        (_behind, [0, 1]),
        (_rollback, [0]),
        (_fork, [0, 2]),
        (_incarnation, [1]),
        (_gone, []),
    ],
    ids=lambda value: "" if isinstance(value, list) else value.__name__.strip("_"),
)
async def test_what_sent_no_message_is_found_and_healed(
    valkey: ValkeyServer,
    swept: SessionCache,
    aside: Session,
    plant: Plant,
    left: list[int],
) -> None:
    """A record changed behind our back is found, counted under its kind, and read as it is."""
    chat, kind = swept.session("chat"), plant.__name__.strip("_")
    await chat.append(said(0))
    await heat(chat)
    await plant(valkey, chat, aside)

    async def found() -> bool:
        return bool(swept.statistics().violations)

    await until(found)
    assert swept.statistics().violations == {kind: 1}
    assert swept.statistics().suspects["audit"] == 1
    page = await chat.recent(9)
    assert page.messages == [said(at) for at in left]
    if left:
        await heat(chat)
        audits = swept.statistics().audits

        async def audited_again() -> bool:
            return swept.statistics().audits > audits + 1

        await until(audited_again)
    assert swept.statistics().violations == {kind: 1}


async def test_damaged_record_is_found(
    valkey: ValkeyServer, swept: SessionCache, caplog: pytest.LogCaptureFixture
) -> None:
    """A record that can no longer be read is found, logged by version, and hidden no more."""
    chat = swept.session("chat")
    await chat.append(said(0))
    await heat(chat)
    version = (await chat.recent(1)).version
    name = record_of(valkey, "chat")
    with valkey.admin as client:
        client.hset(name, "h", "nonsense")

    async def found() -> bool:
        return swept.statistics().violations == {"damaged": 1}

    await until(found)
    assert chat.peek(1) is None
    [text] = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert "damaged" in text
    assert str(version) in text
    assert "chat" not in text


async def test_no_violation_under_load(valkey_url: str) -> None:
    """While two caches change and read the same sessions, audits find nothing to say."""
    config = replace(SWEPT, sweep_seconds=0.002)
    async with (
        open_cache(valkey_url, config=config) as one,
        open_cache(valkey_url, config=config) as two,
    ):
        for at in range(150):
            name = f"chat-{at % 3}"
            await one.session(name).append(said(at))
            await two.session(name).recent(20)
            await one.session(name).recent(20)
            if at % 25 == 24:
                await two.session(name).replace(several(0, 3))
            if at % 40 == 39:
                await two.session(name).delete()

        async def enough() -> bool:
            await heat(one.session("chat-0"), two.session("chat-0"))
            return min(one.statistics().audits, two.statistics().audits) > 20

        await until(enough)
        assert one.statistics().violations == two.statistics().violations == {}


async def test_every_session_has_its_turn(valkey: ValkeyServer, valkey_url: str) -> None:
    """With a sweep of two sessions all of six that were deleted by hand are found."""
    async with open_cache(valkey_url, config=replace(SWEPT, sweep_sessions=2)) as cache:
        chats = [cache.session(f"chat-{at}") for at in range(6)]
        for chat in chats:
            await chat.append(said(0))
        await heat(*chats)
        with valkey.admin as client:
            for at in range(6):
                client.delete(record_of(valkey, f"chat-{at}"))

        async def all_found() -> bool:
            return cache.statistics().violations == {"gone": 6}

        await until(all_found)
        assert all([(await chat.recent(1)).tier is Tier.STORE for chat in chats])


async def test_times_of_fences(cache: SessionCache) -> None:
    """The times of fences are there after the first one, in order, and below T."""

    async def fenced() -> bool:
        return cache.statistics().fence_p50_seconds is not None

    await until(fenced)
    now = cache.statistics()
    assert now.fence_p50_seconds is not None
    assert now.fence_p99_seconds is not None
    assert now.propagation_p99_seconds is not None
    assert 0 < now.fence_p50_seconds <= now.fence_p99_seconds < CacheConfig().staleness_seconds
    assert 0 < now.propagation_p99_seconds <= now.fence_p99_seconds
