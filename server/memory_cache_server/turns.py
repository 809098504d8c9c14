"""
How much may be written in one turn of the event loop.

A large message has as many writers as it has followers, all woken at once. Together they would
hold up the loop for longer than anybody else may wait; so they take turns, and everything else
the worker does comes in between.
"""

import asyncio
from collections import deque
from typing import Final

MOST_BYTES: Final = 1024 * 1024
"""Copying so much, and handing it to the kernel, takes some 2 ms."""


class Turns:
    """Lets writers through in the order they came, so many bytes in each turn of the loop."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        """Use it on one event loop. Who writes more than ``most`` is let through all the same."""
        self._most = most
        self._left = most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._counting = False

    async def take(self, size: int) -> None:
        """Wait for one's turn to write so much. Cancelled: the place in the line is given up."""
        if not self._counting:
            self._counting = True
            asyncio.get_running_loop().call_soon(self._renew)
        if self._left > 0 and not self._waiting:
            self._left -= size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        await turn

    def spend(self, size: int) -> None:
        """Write so much more in one's turn; those to come wait for longer."""
        self._left -= size

    def _renew(self) -> None:
        self._left = min(self._most, self._left + self._most)
        while self._waiting and self._left > 0:
            size, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= size
        # Who was let through writes in the next turn. If there is nobody, the counting ends.
        self._counting = self._left < self._most
        if self._counting:
            asyncio.get_running_loop().call_soon(self._renew)
