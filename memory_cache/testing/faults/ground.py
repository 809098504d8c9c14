"""What faults act on, and the words in which they are declared."""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from memory_cache.testing._bodies import body_of
from memory_cache.testing.faults.crew import GoneError, Member
from memory_cache.testing.faults.recorder import (
    PATIENCE_SECONDS,
    Change,
    Message,
    Question,
    Recorder,
)
from memory_cache.testing.faults.resp import StoreRefusedError, ask
from memory_cache.testing.faults.scores import Expectation
from memory_cache.testing.faults.store import Store
from memory_cache.testing.faults.worker import Json
from memory_cache.testing.history import Asked, Fault, WriteKind

STALENESS_SECONDS: Final = 1.0
"""T of the bench's workers: the library's default."""

_OUTLASTS: Final = (1.1, 1.6)
"""Times T."""


class Stage(Enum):
    """What a round allows, so that what may be lost in one hides nothing in another."""

    SAFE = "safe"  # a store with a log, and nothing acknowledged may go
    LOSSY = "lossy"  # faults that take acknowledged changes with them
    DISK = "disk"  # a store on a small disk


class SkippedError(Exception):
    """A fault cannot be done on this machine; the text says why."""


@dataclass(slots=True)
class Ground:
    """
    One round's processes, and what is noted about it.

    ``random`` is the nemesis's; ``is_alone``: the fault that is being injected has no other
    beside it.
    """

    stage: Stage
    store: Store
    members: Sequence[Member]
    sessions: Sequence[str]
    recorder: Recorder
    random: random.Random
    hire: Callable[[], AbstractAsyncContextManager[Member]]
    counts: Counter[str] = field(default_factory=Counter)
    emptied: list[Fault] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    is_alone: bool = False

    async def order(self, *commands: tuple[str | bytes | int, ...]) -> list[object] | None:
        """Run commands at the store; None if it is down, which another fault may have done."""
        try:
            return await ask(self.store.port, *commands)
        except (OSError, TimeoutError, StoreRefusedError):
            return None

    def may_have_lost(self, kind: str, began: float, *, emptied: bool) -> None:
        """Note that acknowledged changes may have gone from ``began`` to now."""
        fault = Fault(kind, began, time.monotonic(), may_lose=True)
        self.recorder.history.faults.append(fault)
        if emptied:
            self.emptied.append(fault)

    def judge(self, expectation: Expectation, text: str, *, kept: bool) -> None:
        """Count one case of an expectation."""
        self.recorder.scores.judge(expectation, text, kept=kept)

    def message(self, session: str, size: int) -> Message:
        """Return a new message of the nemesis's own."""
        name = f"nemesis.{next(self.numbers)}"
        return Message(name, body_of(session, name, size))

    async def append(
        self, member: Member, session: str, size: int = 100, *, count: int = 1
    ) -> Json | None:
        """Append messages; None: no answer."""
        messages = [self.message(session, size) for _ in range(count)]
        change = Change(WriteKind.APPEND, session, messages)
        return await _tried(self.recorder.change("nemesis", member, change, PATIENCE_SECONDS))

    async def delete(self, member: Member, session: str) -> Json | None:
        """Delete a session; None: no answer."""
        change = Change(WriteKind.DELETE, session)
        return await _tried(self.recorder.change("nemesis", member, change, PATIENCE_SECONDS))

    async def newest(self, member: Member, session: str, limit: int = 20) -> Json | None:
        """Read the newest of a session; None: no answer."""
        question = Question(session, Asked.NEWEST, limit)
        return await _tried(self.recorder.read("nemesis", member, question, PATIENCE_SECONDS))

    async def recent(self, member: Member, session: str, limit: int = 20) -> Json | None:
        """Read the newest as old as may be; None: no answer."""
        question = Question(session, Asked.BOUNDED, limit)
        return await _tried(self.recorder.read("nemesis", member, question, PATIENCE_SECONDS))

    async def statistics(self, member: Member) -> Json | None:
        """Return the counters of a worker; None: it is not there."""
        return await _tried(member.call({"op": "statistics"}, PATIENCE_SECONDS))

    async def held(self, member: Member) -> Json | None:
        """Return what a worker holds too much of; None: it is not there."""
        return await _tried(member.call({"op": "held"}, PATIENCE_SECONDS))


async def _tried(call: Awaitable[Json | None]) -> Json | None:
    with contextlib.suppress(TimeoutError, GoneError):
        return await call
    return None


Inject = Callable[[Ground, Member], AbstractAsyncContextManager[None]]
"""Injects inside its ``async with``, heals after; the member is one no other fault has now."""


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of fault.

    Attributes:
        rows: of the failure catalogue.
        right: the right behaviour, beside what holds in every case: a clean history.
        inject: how.
        stages: in which it is drawn.
        target: no two faults that have the same target, other than a worker's, overlap.
        alone: overlaps with no other.
        seconds: how long it is held.
        outlasts: what it breaks shows when a lease has ended; so one time in two it is held for
            longer than T, whatever the pace.
        share: of the rounds' decks that it is dealt in; less than 1 for what takes long.
        recovery: seconds after the heal within which every worker succeeds.
    """

    name: str
    rows: tuple[int, ...]
    right: str
    inject: Inject
    target: str = "worker"
    stages: frozenset[Stage] = frozenset(Stage)
    alone: bool = False
    seconds: tuple[float, float] = (0.3, 2.0)
    outlasts: bool = False
    share: float = 1.0
    recovery: float = 1.0

    def held(self, random: random.Random, pace: float) -> float:
        """Draw for how many seconds it is held."""
        seconds = random.uniform(*self.seconds) * pace
        if self.outlasts and random.getrandbits(1):
            return max(seconds, STALENESS_SECONDS * random.uniform(*_OUTLASTS))
        return seconds


@contextlib.asynccontextmanager
async def repeating(seconds: float, act: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Do something every so many seconds, inside."""

    async def go_on() -> None:
        while True:
            await act()
            await asyncio.sleep(seconds)

    async with meanwhile(go_on()):
        yield


@contextlib.asynccontextmanager
async def meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do some work, inside; what is not done by the end is given up."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
