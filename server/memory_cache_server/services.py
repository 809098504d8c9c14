"""What every request of one worker needs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from fastapi import Request
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from memory_cache import SessionCache
from memory_cache_server.putting import Putting
from memory_cache_server.settings import Settings
from memory_cache_server.turns import Turns


@dataclass(frozen=True, slots=True)
class Services:
    """
    The parts that handlers use.

    Attributes:
        cache: open for as long as the application runs.
        settings: of this server.
        fingerprint: changes with whatever may give other bytes for the same session: the
            release, the token counter, settings.
        putting: carries out PUTs.
        turns: for what many write at once.
    """

    cache: SessionCache
    settings: Settings
    fingerprint: str
    putting: Putting
    turns: Turns

    def shape(self, route: str, query: Mapping[str, object]) -> str:
        """Return a short text that is the same only for answers made in the same way."""
        return digest(self.fingerprint, route, query)


class Application(Protocol):
    """The application, or it behind layers of ours."""

    state: State

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""


def services_of(request: Request) -> Services:
    """Return the services of the application that a request came to."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


def digest(*parts: object) -> str:
    """Return a short text that tells these JSON values from others."""
    # Not orjson: a number in a query may have more than 64 bits.
    return blake2b(json.dumps(parts).encode(), digest_size=6).hexdigest()
