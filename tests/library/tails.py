"""A follower in a task of its own, for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from library.helpers import until
from memory_cache import Session, SessionEvent, SessionEventKind

MESSAGE = SessionEventKind.MESSAGE


class Tail:
    """A follower in a task of its own, and what it was told."""

    def __init__(self, session: Session, after: str | None = None) -> None:
        self.after = after
        self.told: list[SessionEvent] = []
        self._events = session.events(after=after)
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for event in self._events:
            self.told.append(event)

    async def has(self, fact: Callable[[list[SessionEvent]], bool]) -> None:
        """Wait until a fact holds of what it was told; raises what ended it."""

        async def holds() -> bool:
            if self.task.done():
                self.task.result()
            return fact(self.told)

        await until(holds)

    @property
    def kinds(self) -> list[SessionEventKind]:
        """What it was told, without the messages."""
        return [event.kind for event in self.told if event.kind is not MESSAGE]

    @property
    def seqs(self) -> list[int]:
        """The seqs of the messages it was told."""
        return [event.seq for event in self.told if event.kind is MESSAGE]

    def messages(self) -> list[dict[str, object]]:
        """The messages it was told."""
        return [event.message for event in self.told if event.kind is MESSAGE]


@asynccontextmanager
async def tail(session: Session, after: str | None = None) -> AsyncIterator[Tail]:
    """Follow until the block ends; it has begun when the block does."""
    following = Tail(session, after)
    try:
        if after is None:
            await following.has(bool)
        yield following
    finally:
        following.task.cancel()
        await asyncio.wait([following.task])
