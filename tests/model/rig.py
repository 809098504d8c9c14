"""
Workers with real caches over the in-memory server, in a loop whose time is moved by hand.

What they serve is compared with everything the session has been (`check_page`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from memory_cache import CacheConfig, Page, Session, SessionCache, cache_over
from memory_cache.testing import (
    Gate,
    InMemoryServer,
    InMemoryWorker,
    ManualClock,
    ManualLoop,
    Moment,
    Record,
)

T = TypeVar("T")

S = "s"
CONFIG = CacheConfig(sweep_seconds=1e9)
T_SECONDS = CONFIG.staleness_seconds
MOST_SECONDS = 100.0
"""A test that waits in vain fails after that time, of which none really passes."""


class Worker(InMemoryWorker):
    """One worker process: its connections, and the cache over them."""

    def __init__(self, server: InMemoryServer, config: CacheConfig = CONFIG) -> None:
        super().__init__(server, config)
        self.cache: SessionCache

    @property
    def near(self) -> Any:  # noqa: ANN401  # the type is private
        """The near cache, which has no public name: it is what this model is about."""
        return self.cache._parts.near  # noqa: SLF001  # see above

    def entries(self) -> list[Any]:
        """What is held of each session, suspect or not."""
        held = self.near._held.values()  # noqa: SLF001  # see `near`
        return [value for value in held if hasattr(value, "ring")]


class Rig:
    """A server, its clock and its workers."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.server = InMemoryServer(clock)
        self._stack = AsyncExitStack()

    async def worker(self, config: CacheConfig = CONFIG) -> Worker:
        """A worker more, connected and with a lease."""
        worker = Worker(self.server, config)
        over = cache_over(worker.store, worker.bus, self.clock, config)
        worker.cache = await self._stack.enter_async_context(over)
        await turns()
        return worker

    async def aclose(self) -> None:
        """Close every cache."""
        await self._stack.aclose()


@asynccontextmanager
async def rig(clock: ManualClock) -> AsyncIterator[Rig]:
    """A server without workers."""
    made = Rig(clock)
    try:
        yield made
    finally:
        await made.aclose()


def run(main: Callable[[Rig], Coroutine[Any, Any, T]]) -> T:
    """Run a test in a loop of its own; a second of its time takes none."""
    clock = ManualClock()

    async def inside() -> T:
        async with rig(clock) as made, asyncio.timeout(MOST_SECONDS):
            return await main(made)

    with asyncio.Runner(loop_factory=lambda: ManualLoop(clock)) as runner:
        return runner.run(inside())


async def turns(count: int = 50) -> None:
    """Let everything happen that needs no time."""
    for _ in range(count):
        await asyncio.sleep(0)


def message(number: int) -> dict[str, object]:
    """A message that says which it is."""
    return {"role": "user", "content": f"message {number}"}


async def warm(worker: Worker, name: str = S) -> Session:
    """A session that this worker's near cache answers for."""
    chat = worker.cache.session(name)
    await chat.recent(20)
    await turns()
    await chat.recent(20)
    assert chat.peek(1) is not None
    return chat


async def two(rig: Rig, config: CacheConfig = CONFIG) -> tuple[Worker, Session, Session]:
    """A worker, and its handle of a session of one message and another worker's."""
    worker, other = await rig.worker(config), await rig.worker(config)
    await other.cache.session(S).append(message(0))
    return worker, worker.cache.session(S), other.cache.session(S)


async def parked(worker: Worker, chat: Session, n: int) -> tuple[Gate, asyncio.Task[Page]]:
    """A read whose snapshot is taken, and not yet in the near cache."""
    gate = worker.gates.close("tail.done")
    task = asyncio.create_task(chat.recent(n))
    await gate.arrived
    return gate, task


def contents(page: Page | None) -> list[str]:
    """The messages of a page, for a comparison."""
    assert page is not None
    return [str(sent["content"]) for sent in page.messages]


def check_page(
    page: Page, history: Sequence[Moment], *, from_index: int = 0, from_time: int = 0
) -> None:
    """
    Assert that a page is a run of what the session was at one moment.

    `from_index`: at this moment of its history or later. `from_time`: it was still so at this
    time, in microseconds since the epoch.
    """
    moments = list(history)
    ends = [moment.at for moment in moments[1:]] + [float("inf")]
    found = [
        index
        for index, moment in enumerate(moments)
        if _is(page, moment.record) and _still(moment.record, ends[index], from_time)
    ]
    assert found, "the session was never this, or not any more"
    assert found[-1] >= from_index, "older than what was asked for"


def _is(page: Page, record: Record | None) -> bool:
    if page.header is None or record is None:
        return page.header is None and record is None
    if page.header != record.header or page.fields_json != record.fields:
        return False
    bodies = [body for chunk in page.bodies for body in chunk.split(b"\n")]
    first = record.header.first
    stored = record.messages()[page.start - first : page.end - first]
    return bodies == [body for body, _ in stored]


def _still(record: Record | None, end: float, time: int) -> bool:
    if record is not None and record.deadline >= 0:
        end = min(end, record.deadline * 1000)
    return end >= time


def check_worker(worker: Worker, server: InMemoryServer) -> None:
    """Assert that every ring is a run of what its session was, and the near cache's own rules."""
    worker.near.check()
    suspects = worker.near._held.suspects.keys()  # noqa: SLF001  # see `near`
    assert suspects <= {entry.key for entry in worker.entries()}, "a suspect that is not held"
    for entry in worker.entries():
        if entry.header is None:
            continue
        [record] = {
            id(moment.record): moment.record
            for moment in server.history(entry.key)
            if moment.record is not None and moment.record.header == entry.header
        }.values()
        held = [slot.body for slot in entry.ring.last(entry.ring.end - entry.ring.start)]
        first = record.header.first
        stored = record.messages()[entry.ring.start - first : entry.ring.end - first]
        assert held == [body for body, _ in stored], "a ring that was never the log"
        assert entry.fields == record.fields, "fields of another version"


def check_quiet(worker: Worker, server: InMemoryServer) -> None:
    """Assert, while nothing is on its way, that every ring that may answer equals the log."""
    assert worker.bus.caught_up
    live = {key for key, _ in worker.near.hot()}
    for entry in worker.entries():
        if entry.key in live and server.clock.now() < entry.deadline:
            record = server.record(entry.key)
            assert record is not None, "a ring of a session that is gone"
            assert entry.header == record.header, "a ring that is behind, with nothing on its way"
