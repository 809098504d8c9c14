"""Credentials that change: a provider of redis-py, and connections that keep up with it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from redis.credentials import CredentialProvider, StreamingCredentialProvider
from redis.exceptions import RedisError

from memory_cache._errors import MemoryCacheError, StoreError
from memory_cache._redis.errors import translated
from memory_cache._redis.lane import Lane

_log = logging.getLogger("memory_cache")

Given = tuple[str] | tuple[str, str]
"""A password, or a user name and a password."""


class Credentials(CredentialProvider):
    """Asks somebody's credential provider, without holding up the event loop."""

    def __init__(self, provider: CredentialProvider) -> None:
        """Ask this one, anew for each connection."""
        self._provider = provider
        ask = type(provider).get_credentials_async
        # redis-py's own calls the other method in the event loop, and warns of it each time.
        # Those that stream (redis-entraid) wait for the network in both.
        self._blocks: Final = (
            isinstance(provider, StreamingCredentialProvider)
            or ask is CredentialProvider.get_credentials_async
        )
        # One thread: a provider that hangs holds no other, in which names are looked up.
        self._thread: Final = ThreadPoolExecutor(1, "memory-cache-credentials")
        self.first: Given | None = None
        """What the first connection was given."""

    async def get_credentials_async(self) -> Given:
        """
        Return a password, or a user name and a password.

        Raises:
            StoreError: the provider failed.
        """
        try:
            if self._blocks:
                loop = asyncio.get_running_loop()
                given = await loop.run_in_executor(self._thread, self._provider.get_credentials)
            else:
                given = await self._provider.get_credentials_async()
        except Exception as error:
            raise StoreError("the credential provider failed") from error
        if self.first is None:
            self.first = given
        return given


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
        known, told = self._credentials.first, ""
        while True:
            reason = ""
            try:
                new = await self._credentials.get_credentials_async()
                if new != known:
                    await self._renew(new)
                    known = new
            except StoreError as error:
                # By its kind: what a provider says may hold what it was to keep.
                cause = "" if error.__cause__ is None else f", {type(error.__cause__).__name__}"
                reason = f"{error.reason}{cause}"
            if reason not in {"", told}:
                _log.warning("the credentials are not renewed yet (%s)", reason)
            told = reason
            await asyncio.sleep(self._seconds)

    async def _renew(self, new: Given) -> None:
        """
        Authenticate every connection.

        Raises:
            StoreError: one of them was not; it may be tried again.
        """
        for lane in self._lanes:
            try:
                if lane.node is not None:  # else it asks for credentials when it connects
                    await lane.call("AUTH", *new, first=True)
            except (RedisError, MemoryCacheError) as error:
                # Without the server's words, which may repeat them.
                raise StoreError(str(translated(error))) from None
        self._reconnect("the credentials were renewed")
