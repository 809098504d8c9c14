"""Credentials that change while the cache is open."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis
from redis.credentials import CredentialProvider

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
    return int(admin.info("commandstats").get("cmdstat_auth", {}).get("calls", 0))


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
            while "the credential provider failed" not in caplog.text:
                await session.append({"at": 0})
            _do(admin, "CLIENT KILL USER", USER)
            while "credential provider failed" not in await _refused(session):
                pass
            provider.fails = False
            await _until_served(session)
    provider.fails = True
    with pytest.raises(StoreError, match="credential provider failed"):
        async with open_cache(server.url, credential_provider=provider):
            pass


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
