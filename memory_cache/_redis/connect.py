"""Connections: how they are made, and which server we accept at their other end."""

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import redis.exceptions as theirs
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from memory_cache._errors import IncompatibleStoreError, StoreError
from memory_cache._redis.errors import UNREACHABLE, server_said, translated
from memory_cache._redis.server_clock import ServerClock
from memory_cache._redis.url import StoreUrl

_log = logging.getLogger("memory_cache")

OLDEST_REDIS: Final = (7, 0)


@dataclass(frozen=True, slots=True)
class Node:
    """The process at the other end of a connection, by its run id."""

    run_id: str
    replid: str


class Dialer:
    """
    Makes connections to one store.

    redis-py's own retries are off: it would run a command up to eleven times, and subscribe
    again without a word. RESP2, because with RESP3 it skips the check for stray replies.
    """

    def __init__(
        self, url: StoreUrl, connect_timeout: float, credentials: CredentialProvider | None = None
    ) -> None:
        """Nothing is connected. ``credentials``: in place of the URL's user name and password."""
        self._class = url.connection_class
        self._options = {**url.options, "credential_provider": credentials}
        self._timeout = connect_timeout
        self.latest: Node | None = None
        """Who answered last: there is one primary, and nobody else is worth talking to."""
        self.clock = ServerClock()
        self._policy = ""

    async def dial(self) -> tuple[AbstractConnection, Node]:
        """
        Return a fresh connection, and who answers.

        Raises:
            redis.RedisError, OSError, TimeoutError: nobody does, or a replica.
            IncompatibleStoreError: the server is too old.
            StoreError: the server refused something, or ended the connection without a word; or
                the credential provider failed.
        """
        ours: dict[str, Any] = {
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            # Lane and fences watch the clock. Theirs would end idle connections, and their
            # `wait_for` around a write can swallow a cancellation.
            "socket_timeout": None,
            "socket_connect_timeout": self._timeout,
            "health_check_interval": 0,
            "client_name": "memory-cache",
        }
        connection = self._class(**(self._options | ours))
        try:
            async with asyncio.timeout(2 * self._timeout):
                await connection.connect()  # type: ignore[no-untyped-call] # untyped by its authors
                await connection.send_command("INFO")
                facts = _facts(await connection.read_response(disable_decoding=True))
                node = _node(facts)
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if hint := self._hint(error):
                raise StoreError(f"{UNREACHABLE}: {hint}") from error
            if said := server_said(error):
                # Without its words: those about an AUTH that it does not know repeat the password.
                raise translated(said) from None
            raise
        self._warn_of_eviction(facts)
        self.latest = node
        self.clock.heard(int(facts.get(b"server_time_usec", 0)) / 1000)
        return connection, node

    def _warn_of_eviction(self, facts: Mapping[bytes, bytes]) -> None:
        """Say once what the policy is: connections are many."""
        policy = facts.get(b"maxmemory_policy", b"noeviction").decode()
        if policy != "noeviction" and facts.get(b"maxmemory", b"0") != b"0":
            if policy != self._policy:
                _log.warning(
                    "the store may evict (maxmemory-policy %s): sessions, and the records that"
                    " keep a change from being made twice, can go at any time; noeviction is what"
                    " we promise on",
                    policy,
                )
            self._policy = policy

    def _hint(self, error: BaseException) -> str | None:
        """Say what an end without a word may mean: what speaks TLS and what does not, meet so."""
        is_slow = isinstance(error, TimeoutError | theirs.TimeoutError)
        # redis-py has one class for all, and one word for an end without a reset.
        is_cut = isinstance(
            error.__context__, ConnectionResetError | BrokenPipeError
        ) or "closed by server" in str(error)
        if is_slow and self._class is SSLConnection:
            # A server without TLS waits for the end of a line that is none.
            return "no TLS handshake came about in time (redis:// is without TLS)"
        if is_cut and self._class is SSLConnection:
            return "it cut the connection (it may want a certificate: ssl_certfile, ssl_keyfile)"
        if is_cut and self._class is Connection:
            return "it cut the connection (a TLS port needs rediss://)"
        return None


def _facts(info: bytes) -> dict[bytes, bytes]:
    return dict(re.findall(rb"^([a-z_0-9]+):(.*?)\r?$", info, re.MULTILINE))


def _node(facts: Mapping[bytes, bytes]) -> Node:
    _check_release(facts)
    try:
        node = Node(facts[b"run_id"].decode(), facts[b"master_replid"].decode())
    except KeyError as error:
        raise IncompatibleStoreError("the server does not say who it is (INFO)") from error
    if facts.get(b"role", b"master") != b"master":
        # It answers reads, and from the past.
        raise theirs.ReadOnlyError("READONLY it is a replica")
    return node


def _check_release(facts: Mapping[bytes, bytes]) -> None:
    # Valkey tells its own release beside the Redis release it is compatible with.
    release = facts.get(b"redis_version", b"0").decode()
    if tuple(map(int, re.findall(r"\d+", release)[:2])) < OLDEST_REDIS:
        reason = f"the server is Redis {release}; memory-cache needs Redis 7.0 or Valkey"
        raise IncompatibleStoreError(reason)
