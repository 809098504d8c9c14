"""Single-flight: callers that want the same thing at the same time share one call."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares calls for one part of a thing, for as long as the call is young enough."""

    def __init__(self, now: Callable[[], float], max_age_seconds: float) -> None:
        """Share a call with those who come at most ``max_age_seconds`` after it began."""
        self._now = now
        self._max_age = max_age_seconds
        self._under_way: set[asyncio.Future[T]] = set()
        self._flights: dict[Hashable, dict[Hashable, tuple[float, asyncio.Future[T]]]] = {}

    async def do(
        self, thing: Hashable, part: Hashable, call: Callable[[], Awaitable[T]]
    ) -> tuple[T, bool]:
        """
        Return the result of ``call`` or of one under way, and whether it was another's.

        Cancelled: the call goes on for the others, and ends by itself.
        """
        flights = self._flights.setdefault(thing, {})
        flight = flights.get(part)
        joined = flight is not None and self._now() - flight[0] <= self._max_age
        if flight is None or not joined:
            flight = (self._now(), asyncio.ensure_future(call()))
            flights[part] = flight
            self._under_way.add(flight[1])
            flight[1].add_done_callback(lambda done: self._landed(thing, part, done))
        return await asyncio.shield(flight[1]), joined

    def forget(self, thing: Hashable) -> None:
        """Let those who come from now on begin calls of their own for this thing."""
        self._flights.pop(thing, None)

    async def settle(self) -> None:
        """Wait until every call has ended, whatever became of it."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _landed(self, thing: Hashable, part: Hashable, done: "asyncio.Future[T]") -> None:
        self._under_way.discard(done)
        # Looking at the exception tells asyncio that it was seen, should every caller be gone.
        if not done.cancelled():
            done.exception()
        flights = self._flights.get(thing, {})
        if part in flights and flights[part][1] is done:
            del flights[part]
            if not flights:
                del self._flights[thing]
