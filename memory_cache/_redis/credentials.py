"""Credentials that change: a provider of redis-py, and connections that keep up with it."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from memory_cache._errors import StoreError
from memory_cache._redis.lane import Lane

_log = logging.getLogger("memory_cache")


class Credentials(CredentialProvider):
    """Asks somebody's credential provider, without holding up the event loop."""

    def __init__(self, provider: CredentialProvider) -> None:
        """Ask this one, anew for each connection."""
        self._provider = provider
        ask = type(provider).get_credentials_async
        # Theirs calls the other one in the event loop, and warns of it each time.
        self._is_blocking = ask is CredentialProvider.get_credentials_async

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """
        Return a password, or a user name and a password.

        Raises:
            StoreError: the provider failed.
        """
        try:
            if self._is_blocking:
                return await asyncio.to_thread(self._provider.get_credentials)
            return await self._provider.get_credentials_async()
        except Exception as error:
            raise StoreError("the credential provider failed") from error


class Renewal:
    """
    Authenticates connections again when the provider has other credentials than before.

    It asks, every so often. What a streaming provider of redis-py calls on a new token
    (`on_next`) is one place for one listener, which may be somebody else's.
    """

    def __init__(
        self,
        credentials: Credentials,
        lanes: Sequence[Lane],
        seconds: float,
        reconnect: Callable[[str], None],
    ) -> None:
        """``reconnect``: a RESP2 subscription takes no AUTH, so it is made anew."""
        self._credentials = credentials
        self._lanes = lanes
        self._seconds = seconds
        self._reconnect = reconnect

    async def run(self) -> None:
        """Keep the connections authenticated, until cancelled."""
        known = None
        while True:
            try:
                new = await self._credentials.get_credentials_async()
            except StoreError:
                _log.warning("the credential provider failed; asked again later", exc_info=True)
            else:
                if known not in {None, new}:
                    await self._renew(new)
                known = new
            await asyncio.sleep(self._seconds)

    async def _renew(self, new: tuple[str] | tuple[str, str]) -> None:
        for lane in self._lanes:
            try:
                if lane.node is not None:  # else it asks for credentials when it connects
                    await lane.call("AUTH", *new, first=True)
            except (RedisError, StoreError) as error:
                _log.warning(
                    "the store did not take renewed credentials (%s)", type(error).__name__
                )
        self._reconnect("the credentials were renewed")
