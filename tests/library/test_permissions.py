"""What an ACL user needs: exactly what the documentation says, and no more."""

import asyncio
import logging
import re
from collections.abc import Iterator

import pytest
import redis

from library.helpers import check, heat, said, several
from memory_cache import ContractMessage, SessionCache, StoreError, open_cache
from support.acl import DATABASE, USER, commands, documented
from support.valkey import ValkeyServer

DELTA_BYTES = 64 * 1024


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


def allow(client: redis.Redis, *words: str) -> None:
    """Change what the user may do."""
    client.execute_command("ACL SETUSER", USER, *words)  # type: ignore[no-untyped-call]


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
