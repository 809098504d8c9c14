"""Credentials that change while the cache is open."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from redis.credentials import CredentialProvider, StreamingCredentialProvider

from memory_cache import CacheConfig, Session, StoreError, Tier, open_cache
from support.valkey import ValkeyServer

OFTEN = CacheConfig(credentials_seconds=0.02)
USER = "rotating"


class Rotating(CredentialProvider):
    """A provider as people write them: not awaited, with the token of the moment."""

    def __init__(self) -> None:
        self.token = "first"
        self.fails = False

    def get_credentials(self) -> tuple[str, str]:
        """The user and the token of the moment."""
        if self.fails:
            raise RuntimeError("the identity provider is down")
        return USER, self.token


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server of its own, for its users change."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def admin(server: ValkeyServer) -> Iterator[redis.Redis]:
    """A client of it; its user has the first token."""
    with server.admin as client:
        client.flushall()
        _do(client, "ACL SETUSER", USER, "reset", "on", ">first", "~*", "&*", "+@all")
        client.config_resetstat()
        yield client


def _do(client: redis.Redis, command: str, *words: str) -> None:
    """Send a command of an operator's."""
    client.execute_command(command, *words)  # type: ignore[no-untyped-call] # as its authors left it


async def _refused(session: Session) -> str:
    """Why an append fails."""
    with pytest.raises(StoreError) as refused:
        await session.append({"at": 1})
    return refused.value.reason


async def _until_served(session: Session) -> None:
    """Read until the near cache answers again, over connections that were cut."""
    while True:
        with suppress(StoreError):
            if (await session.recent(1)).tier is Tier.NEAR:
                return


def authenticated(admin: redis.Redis) -> int:
    """How many AUTH commands the server has carried out."""
    return _auths(admin, "calls") - rejected(admin)


def rejected(admin: redis.Redis) -> int:
    """How many of them failed."""
    return _auths(admin, "failed_calls")


def _auths(admin: redis.Redis, figure: str) -> int:
    return int(admin.info("commandstats").get("cmdstat_auth", {}).get(figure, 0))


async def test_new_token(server: ValkeyServer, admin: redis.Redis) -> None:
    """With a new token writes and subscription authenticate again, and the old one may end."""
    provider = Rotating()
    async with open_cache(server.url, config=OFTEN, credential_provider=provider) as cache:
        session = cache.session("s")
        await session.append({"at": 0})
        async with asyncio.timeout(10):
            while (await session.recent(1)).tier is not Tier.NEAR:
                pass
            before = authenticated(admin)
            _do(admin, "ACL SETUSER", USER, ">second")
            provider.token = "second"
            # One by the connection that writes take, one by the new subscription.
            while authenticated(admin) < before + 2:
                await session.append({"at": 1})
            _do(admin, "ACL SETUSER", USER, "<first")
            # Connections that have to be made again use the new one.
            _do(admin, "CLIENT KILL USER", USER)
            await _until_served(session)
        assert (await session.append({"at": 2})).next == (await session.recent(1)).next


async def test_provider_that_fails(
    server: ValkeyServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """One that fails is an error where a connection needs it, and asked again where none does."""
    provider = Rotating()
    async with open_cache(server.url, config=OFTEN, credential_provider=provider) as cache:
        session = cache.session("s")
        provider.fails = True
        async with asyncio.timeout(10):
            while "the credential provider failed, RuntimeError" not in caplog.text:
                await session.append({"at": 0})
            _do(admin, "CLIENT KILL USER", USER)
            while "credential provider failed" not in await _refused(session):
                pass
            provider.fails = False
            await _until_served(session)
    assert caplog.text.count("not renewed") == 1
    assert "identity provider" not in caplog.text
    provider.fails = True
    with pytest.raises(StoreError, match="credential provider failed"):
        async with open_cache(server.url, credential_provider=provider):
            pass


class Streaming(Rotating, StreamingCredentialProvider):
    """As redis-entraid's: both ways of asking wait for the network where they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_in: set[threading.Thread] = set()

    def get_credentials(self) -> tuple[str, str]:
        """As above; notes who asked."""
        self.asked_in.add(threading.current_thread())
        return super().get_credentials()

    async def get_credentials_async(self) -> tuple[str, str]:
        """The same: nothing in it is awaited."""
        return self.get_credentials()

    def on_next(self, callback: Callable[[Any], None]) -> None:
        """Somebody else's."""

    def on_error(self, callback: Callable[[Exception], None]) -> None:
        """Somebody else's."""

    def is_streaming(self) -> bool:
        """It need not be."""
        return False


async def test_streaming_provider(server: ValkeyServer, admin: redis.Redis) -> None:
    """One that streams is not asked in the thread of the event loop, which would stand still."""
    provider = Streaming()
    async with open_cache(server.url, config=OFTEN, credential_provider=provider) as cache:
        _do(admin, "ACL SETUSER", USER, ">second")
        provider.token = "second"
        async with asyncio.timeout(10):
            while authenticated(admin) < 5:
                await cache.session("s").append({"at": 0})
    assert threading.current_thread() not in provider.asked_in
    assert len(provider.asked_in) == 1


async def test_change_before_the_first_look(server: ValkeyServer, admin: redis.Redis) -> None:
    """What is another user already when it is first looked at is noticed, too."""
    provider, other = Rotating(), "another"
    _do(admin, "ACL SETUSER", other, "reset", "on", ">first", "~*", "&*", "+@all")
    # Those of the two connections that are made before anything else.
    given = iter([(USER, "first")] * 2)
    provider.get_credentials = lambda: next(given, (other, "first"))  # type: ignore[method-assign] # to have it change in time
    async with open_cache(server.url, config=OFTEN, credential_provider=provider) as cache:
        async with asyncio.timeout(10):
            while any(client["user"] == USER for client in admin.client_list()):
                await cache.session("s").append({"at": 0})


async def test_token_that_is_not_taken_yet(
    server: ValkeyServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that the store does not know yet is sent until it does; the log says so once."""
    provider = Rotating()
    async with open_cache(server.url, config=OFTEN, credential_provider=provider) as cache:
        session = cache.session("s")
        await session.append({"at": 0})
        refused, provider.token = rejected(admin), "second"
        async with asyncio.timeout(10):
            while rejected(admin) < refused + 3:
                await session.append({"at": 1})
            taken = authenticated(admin)
            _do(admin, "ACL SETUSER", USER, ">second")
            while authenticated(admin) < taken + 2:
                await session.append({"at": 2})
    told = [each.getMessage() for each in caplog.records if "not renewed" in each.getMessage()]
    assert told == ["the credentials are not renewed yet (the store refused the password)"]
    assert "second" not in caplog.text


async def test_same_token(server: ValkeyServer, admin: redis.Redis) -> None:
    """While the token stays as it is nobody authenticates again, however often it is asked for."""
    provider = Rotating()
    asked = 0
    ask = provider.get_credentials

    def count() -> tuple[str, str]:
        nonlocal asked
        asked += 1
        return ask()

    provider.get_credentials = count  # type: ignore[method-assign] # to see that it is asked
    async with open_cache(server.url, config=OFTEN, credential_provider=provider) as cache:
        session = cache.session("s")
        async with asyncio.timeout(10):
            while (await session.recent(1)).tier is not Tier.NEAR:
                await session.append({"at": 0})
            before, asked = authenticated(admin), 0
            while asked < 5:
                await session.append({"at": 1})
        assert authenticated(admin) == before
