"""What an ACL user needs: exactly what the documentation says, and no more."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest
import redis

from library.helpers import check, heat, said, several
from memory_cache import (
    NEWEST,
    CacheConfig,
    ContractMessage,
    Session,
    SessionCache,
    StoreError,
    Tier,
    open_cache,
)
from support.acl import DATABASE, LOOKER, USER, commands, documented
from support.valkey import ValkeyServer

DELTA_BYTES = 64 * 1024
BLOCK = 64
AT_CONNECT = {"+client|setname", "+info", "+select", "+subscribe", "+unsubscribe"}
CHANGES: dict[str, Callable[[Session], Awaitable[object]]] = {
    "append": lambda chat: chat.append(said(BLOCK - 1)),
    "append for a while": lambda chat: chat.append(said(BLOCK - 1), ttl_seconds=60),
    "put": lambda chat: chat.put([ContractMessage("user", "all that there is")], {"a": 1}),
    "replace": lambda chat: chat.replace(several(0, 2), {"a": 1}, ttl_seconds=None),
    "pop": lambda chat: chat.pop(),
    "large": lambda chat: chat.append(several(BLOCK - 1, 3000)),
    "delete": lambda chat: chat.delete(),
}


async def refusal(change: Awaitable[object]) -> StoreError | None:
    """Make a change; the error, if the store refuses it."""
    try:
        await change
    except StoreError as error:
        return error
    return None


@pytest.fixture(scope="module")
def server(any_server: ValkeyServer) -> ValkeyServer:
    """Valkey, then Redis."""
    return any_server


@pytest.fixture
def admin(server: ValkeyServer) -> Iterator[redis.Redis]:
    """A client that may do everything; the user has what the documentation says."""
    with server.admin as client:
        client.flushall()
        allow(client, "reset", *documented())
        yield client
        client.acl_deluser(USER)


def allow(client: redis.Redis, *words: str, user: str = USER) -> None:
    """Change what a user may do."""
    client.execute_command("ACL SETUSER", user, *words)  # type: ignore[no-untyped-call]


@pytest.fixture
def url(server: ValkeyServer, admin: redis.Redis) -> str:  # noqa: ARG001  # the user must be there
    """The address, as that user."""
    return f"{server.url}?username={USER}&password=secret&db={DATABASE}"


async def everything(cache: SessionCache) -> None:
    """Each kind of change and read, small and large, hot and cold."""
    chat = cache.session("s", namespace="n", user_id="u")
    many = [said(at, text="x" * 400) for at in range(5000)]
    await chat.append(said(0), operation_id="first")
    await heat(chat)
    await chat.append(many)
    await chat.set_fields({"b": "c" * DELTA_BYTES}, ttl_seconds=60)
    sent = [ContractMessage("user", f"message {at}" + "x" * 400) for at in range(5000)]
    for messages in (sent, [*sent, ContractMessage("user", "more")], sent[:10] + sent[11:]):
        await chat.put(messages, {"a": 1})
    await chat.replace(several(0, 100), {"a": 1}, ttl_seconds=None)
    await chat.pop()
    await chat.append(several(99, 300))
    await check(chat, several(0, 300))
    await cache.session("t").append(said(0))
    assert (await cache.list_sessions(namespace="n")).total == 1
    assert (await cache.list_sessions()).total == 2
    assert await cache.find("t") is not None
    await cache.session("t").delete()


async def test_enough(url: str) -> None:
    """A user who has exactly that can do everything."""
    async with open_cache(url) as cache, asyncio.timeout(30):
        await everything(cache)


@pytest.mark.parametrize("command", commands())
async def test_no_more(url: str, admin: redis.Redis, command: str) -> None:
    """Without one of the commands it is refused at start, by name."""
    allow(admin, command.replace("+", "-", 1))
    with pytest.raises(StoreError, match=re.escape(command[1:].replace("|", " ").upper())):
        async with open_cache(url):
            pass


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resetchannels"], rf"&{DATABASE}:mc:\*"),
        (["resetkeys"], r"~mc:\*"),
        (["reset", "on", ">secret", "+@all", "-@dangerous", "~*", "&*"], "INFO"),
        (["reset", "on", ">secret", "+@all", "~*"], rf"&{DATABASE}:mc:\*"),
    ],
    ids=["no channels", "no keys", "nothing dangerous", "a new user's channels"],
)
async def test_refused_at_start(url: str, admin: redis.Redis, words: list[str], said: str) -> None:
    """What is missing is said where it is known: when the cache is opened."""
    allow(admin, *words)
    with pytest.raises(StoreError, match=said):
        async with open_cache(url):
            pass


@pytest.mark.parametrize("command", sorted(set(commands()) - AT_CONNECT))
async def test_taken_away_from_a_change(
    server: ValkeyServer, url: str, admin: redis.Redis, command: str
) -> None:
    """
    Without a command that is taken away while it runs a change is made whole, or not at all.

    The error says that it was not, and nobody reads of one that was not made.
    """
    async with open_cache(url) as cache, open_cache(f"{server.url}?db={DATABASE}") as other:
        for name, change in CHANGES.items():
            chat, elsewhere = cache.session(name), other.session(name)
            await chat.append(several(0, BLOCK - 1), ttl_seconds=100)
            await heat(chat)
            await heat(elsewhere)
            before = (await chat.transcript()).messages
            allow(admin, command.replace("+", "-", 1))
            refused = await refusal(change(chat))
            if refused is None:
                allow(admin, command)
                assert (await elsewhere.transcript()).messages != before
                continue
            assert "permit" in refused.reason
            assert refused.applied == "no"
            assert (await elsewhere.recent(5)).messages == before[-5:]
            allow(admin, command)
            assert (await chat.transcript()).messages == before


async def test_looker(server: ValkeyServer, url: str, admin: redis.Redis) -> None:
    """Who only looks needs less, and can change nothing; what expired is no obstacle."""
    async with open_cache(url) as cache:
        await cache.session("large").append([said(at, text="x" * 500) for at in range(10_000)])
        await cache.session("s", namespace="n").append(said(0))
        gone = cache.session("gone")
        await gone.append(said(0), ttl_seconds=1)
        async with asyncio.timeout(10):
            while (await gone.recent(1, consistency=NEWEST)).exists:
                pass
    allow(admin, "reset", *documented(LOOKER), user=LOOKER)
    where = f"{server.url}?username={LOOKER}&password=secret&db={DATABASE}"
    async with open_cache(where, config=CacheConfig(near_cache_bytes=0)) as looking:
        assert len((await looking.list_sessions()).sessions) == 2
        assert await looking.find("s", namespace="n")
        assert not await looking.find("gone")
        large = looking.session("large")
        assert len((await large.transcript()).messages) == 10_000
        assert (await large.recent(3)).next == 10_000
        assert await large.expires_in() is None
        with pytest.raises(StoreError, match="permit"):
            await large.append(said(0))
    for command in commands(LOOKER):
        assert command in commands()


async def test_taken_away(url: str, admin: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    """
    Channels that are taken away while it runs end the near cache, not the reads.

    It tries again, less and less often, says once what is missing, and goes on when it is given.
    """
    ended = "the subscription ended"
    with caplog.at_level(logging.DEBUG, "memory_cache"):
        async with open_cache(url) as cache, asyncio.timeout(30):
            chat = cache.session("s")
            await chat.append({"at": 0})
            await heat(chat)
            allow(admin, "resetchannels")
            # PUBLISH is refused, too, so that nothing is written that nobody hears of.
            with pytest.raises(StoreError, match="channel") as refused:
                await chat.append({"at": 1})
            assert refused.value.applied == "no"
            while sum(f"&{DATABASE}:mc:*" in each.message for each in caplog.records) < 3:
                page = await chat.recent(1)
                assert (page.next, page.messages) == (1, [{"at": 0}])
            allow(admin, f"&{DATABASE}:mc:*")
            await heat(chat)
            await chat.append({"at": 1})
    told = [
        each.message
        for each in caplog.records
        if each.levelno == logging.WARNING and ended in each.message
    ]
    assert len([text for text in told if f"&{DATABASE}:mc:*" in text]) == 1


@pytest.mark.parametrize(
    ("word", "back"),
    [
        ("-publish", "+publish"),
        ("-evalsha", "+evalsha"),
        ("resetkeys", "~mc:*"),
        ("-info", "+info"),
        ("-subscribe", "+subscribe"),
        ("<secret", ">secret"),
        ("off", "on"),
    ],
)
async def test_told_once(  # noqa: PLR0917  # a case, and four fixtures
    url: str,
    admin: redis.Redis,
    word: str,
    back: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it is that is refused: the log says so once, and each pause is one for a person."""
    pauses: list[bool] = []

    def pause(_: int, *, refused: bool) -> float:
        pauses.append(refused)
        return 0.01

    monkeypatch.setattr("memory_cache._redis.bus._pause", pause)
    async with open_cache(url) as cache, asyncio.timeout(30):
        chat = cache.session("s")
        await chat.append(said(0))
        await heat(chat)
        allow(admin, word)
        admin.client_kill_filter(user=USER)
        while sum(pauses) < 10:
            with suppress(StoreError):
                await chat.recent(1)
            await asyncio.sleep(0.01)
        allow(admin, back)
        while True:
            with suppress(StoreError):
                if (await chat.recent(1)).tier is Tier.NEAR:
                    break
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len([text for text in told if text.startswith("bus") and "(the store" in text]) == 1
    assert len([text for text in told if text.startswith("near cache")]) <= 1
    assert sum(not refused for refused in pauses) <= 2
