"""Single-flight: callers that want the same thing at the same time share one call."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Flight(Generic[T]):
    """A call, and when it began; None: it has not yet."""

    began_at: float | None
    landing: "asyncio.Future[T]"


class SingleFlight(Generic[T]):
    """Shares calls for one part of a thing: those young enough, or those still to begin."""

    def __init__(self, now: Callable[[], float], max_age_seconds: float) -> None:
        """Share a call with those who come at most ``max_age_seconds`` after it began."""
        self._now = now
        self._max_age = max_age_seconds
        self._under_way: set[asyncio.Future[T]] = set()
        self._flights: dict[Hashable, dict[Hashable, _Flight[T]]] = {}

    async def do(
        self, thing: Hashable, part: Hashable, call: Callable[[], Awaitable[T]]
    ) -> tuple[T, bool]:
        """
        Return the result of ``call`` or of one under way, and whether it was another's.

        Cancelled: the call goes on for the others, and ends by itself.
        """
        flight = self._latest(thing, part)
        joined = flight is not None and (
            flight.began_at is None or self._now() - flight.began_at <= self._max_age
        )
        if flight is None or not joined:
            flight = self._take_off(thing, part, call(), self._now())
        return await asyncio.shield(flight.landing), joined

    async def next(
        self, thing: Hashable, part: Hashable, call: Callable[[], Awaitable[T]]
    ) -> tuple[T, bool]:
        """
        Return the result of a call that begins after this, and whether it was another's.

        One at a time: it begins once the one before it has ended, or is too old to be shared, and
        whoever asks until then shares it. Cancelled: as ``do``.
        """
        before = self._latest(thing, part)
        if before is not None and before.began_at is None:
            return await asyncio.shield(before.landing), True

        async def in_turn() -> T:
            if before is not None:
                await asyncio.wait([before.landing], timeout=self._max_age)
            flight.began_at = self._now()
            return await call()

        flight = self._take_off(thing, part, in_turn(), None)
        return await asyncio.shield(flight.landing), False

    def forget(self, thing: Hashable) -> None:
        """Let those who come from now on begin calls of their own for this thing."""
        self._flights.pop(thing, None)

    async def settle(self) -> None:
        """Wait until every call has ended, whatever became of it."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _latest(self, thing: Hashable, part: Hashable) -> _Flight[T] | None:
        return self._flights.get(thing, {}).get(part)

    def _take_off(
        self, thing: Hashable, part: Hashable, call: Awaitable[T], began_at: float | None
    ) -> _Flight[T]:
        flight = _Flight(began_at, asyncio.ensure_future(call))
        self._flights.setdefault(thing, {})[part] = flight
        self._under_way.add(flight.landing)
        flight.landing.add_done_callback(lambda done: self._landed(thing, part, done))
        return flight

    def _landed(self, thing: Hashable, part: Hashable, done: "asyncio.Future[T]") -> None:
        self._under_way.discard(done)
        # Looking at the exception tells asyncio that it was seen, should every caller be gone.
        if not done.cancelled():
            done.exception()
        flights = self._flights.get(thing, {})
        if part in flights and flights[part].landing is done:
            del flights[part]
            if not flights:
                del self._flights[thing]
