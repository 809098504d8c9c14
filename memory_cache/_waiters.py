"""Those who wait for a change of their own to come out of the bus."""

import asyncio

from memory_cache._types import SessionKey


class Waiters:
    """Futures by session and version number; each is forgotten when it is done or given up."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiting: dict[SessionKey, list[tuple[int, asyncio.Future[None]]]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def wait(self, key: SessionKey, num: int) -> asyncio.Future[None]:
        """Return what is done when this version, or the end of all waiting, is told of."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append((num, future))
        future.add_done_callback(lambda _: self._settled(key))
        return future

    def wake(self, key: SessionKey, num: int | None = None) -> None:
        """Wake those who wait for a version up to ``num`` (None: all of the session's)."""
        for wanted, future in self._waiting.get(key, ()):
            if not future.done() and (num is None or wanted <= num):
                future.set_result(None)

    def wake_all(self) -> None:
        """Wake everybody."""
        for key in self._waiting:
            self.wake(key)

    def _settled(self, key: SessionKey) -> None:
        waiting = [each for each in self._waiting.pop(key, ()) if not each[1].done()]
        if waiting:
            self._waiting[key] = waiting
