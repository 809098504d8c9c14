"""Gates: stop a call at a named point, so that a test can choose what happens first."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager


class Gates:
    """
    The named points of one worker's calls to the store.

    A point is a method of the store, or ``fence`` or ``connect``, before the server carries
    it out; with ``.done`` added, after that and before the caller has the answer. Each gate
    and each failure takes one call; several at a point take calls in the order in which they
    were made.
    """

    def __init__(self) -> None:
        """Every point is open."""
        self._traps: defaultdict[str, deque[Gate | Exception]] = defaultdict(deque)

    @asynccontextmanager
    async def gate(self, point: str) -> AsyncIterator[Awaitable[None]]:
        """
        Stop the next call that comes to ``point`` until the block ends.

        Gives an awaitable for its arrival::

            async with worker.gates.gate("tail.done") as arrived:
                reading = asyncio.create_task(session.recent(20))
                await arrived
                ...  # the snapshot is taken, and not yet in the near cache
        """
        gate = self.close(point)
        try:
            yield gate.arrived
        finally:
            gate.open()

    def close(self, point: str) -> "Gate":
        """Stop the next call that comes to ``point`` until ``open()`` of what is returned."""
        gate = Gate()
        self._traps[point].append(gate)
        return gate

    def fail(self, point: str, error: Exception) -> None:
        """Let the next call that comes to ``point`` fail there."""
        self._traps[point].append(error)

    def clear(self) -> None:
        """Disarm what no call has come to yet."""
        self._traps.clear()

    async def reach(self, point: str) -> None:
        """Come to a point; every call is some turns of the loop away from the server."""
        await asyncio.sleep(0)
        traps = self._traps[point]
        while traps:
            trap = traps.popleft()
            if isinstance(trap, Exception):
                raise trap
            if not trap.is_open:
                await trap.wait()
                return


class Gate:
    """Takes one call; ``arrived`` is done when it stands there."""

    def __init__(self) -> None:
        """Be closed, with nobody there."""
        loop = asyncio.get_running_loop()
        self.arrived: asyncio.Future[None] = loop.create_future()
        self._opened: asyncio.Future[None] = loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether calls go through."""
        return self._opened.done()

    def open(self, error: Exception | None = None) -> None:
        """Let the call go on, or fail where it stands; without a call nobody fails."""
        if self.is_open:
            return
        if error is not None and self.arrived.done():
            self._opened.set_exception(error)
            # Seen, should the caller be gone.
            self._opened.exception()
        else:
            self._opened.set_result(None)

    async def wait(self) -> None:
        """Arrive, and wait until it is opened."""
        if not self.arrived.done():
            self.arrived.set_result(None)
        # A caller that is cancelled here must not open the gate for anybody.
        await asyncio.shield(self._opened)
