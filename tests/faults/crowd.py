"""
A worker of the bench that also reads by itself, as many clients do at once.

Run as a script it is the worker's process.
"""

import asyncio
import random
import time
from typing import Any, Final

from memory_cache import MemoryCacheError, Tier
from memory_cache.testing.faults.worker import Worker, main

_AT_ONCE: Final = 200
_THINK_SECONDS: Final = 0.02


class Crowd(Worker):
    """Obeys ``make``, ``warm``, ``crowd`` and ``told``, beside what every worker does."""

    def __init__(self, *parts: Any) -> None:  # noqa: ANN401  # as every worker
        super().__init__(*parts)
        self._readers: list[asyncio.Task[None]] = []
        self._reads: list[tuple[float, float, str]] = []

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one request."""
        match request["op"]:
            case "make":
                await self._each(self._make, request["sessions"])
            case "warm":
                await self._each(self._warm, request["sessions"])
            case "crowd":
                self._readers = [
                    asyncio.create_task(self._read_on(random.Random(number), request["sessions"]))
                    for number in range(request["readers"])
                ]
            case "told":
                for reader in self._readers:
                    reader.cancel()
                await asyncio.gather(*self._readers, return_exceptions=True)
                return {"reads": self._reads}
            case _:
                return await super().answer(request)
        return {}

    async def _each(self, act: Any, sessions: int) -> None:  # noqa: ANN401  # of two below
        numbers = iter(range(sessions))

        async def some() -> None:
            for number in numbers:
                await act(number)

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))

    async def _make(self, number: int) -> None:
        await self._cache.session(f"s{number}").append({"role": "user", "content": str(number)})

    async def _warm(self, number: int) -> None:
        session = self._cache.session(f"s{number}")
        while session.peek(1) is None:
            await session.recent(1)

    async def _read_on(self, draw: random.Random, sessions: int) -> None:
        while True:
            await asyncio.sleep(draw.uniform(0, 2 * _THINK_SECONDS))
            session = self._cache.session(f"s{draw.randrange(sessions)}")
            sent = time.monotonic()
            try:
                page = await session.recent(1)
                told = page.tier.value if page.exists else "absent"
            except MemoryCacheError as error:
                told = error.code
            self._reads.append((sent, time.monotonic() - sent, told))


NEAR = Tier.NEAR.value

if __name__ == "__main__":
    main(Crowd)
