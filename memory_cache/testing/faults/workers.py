"""Faults of workers, and of clients."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

from memory_cache.testing.faults.crew import Member
from memory_cache.testing.faults.ground import Ground, Kind, repeating
from memory_cache.testing.faults.links import MESSAGE
from memory_cache.testing.faults.proxy import Trap
from memory_cache.testing.faults.scores import Expectation

_TRAP_SECONDS = 3.0
_SETTLE_SECONDS = 1.0
_CANCELLERS = 16
_CANCELLER_SECONDS = 0.005
_HUGE_SLICES = 40
_HUGE_SLICE = 500
_HUGE_BYTES = 100
_HUGE_FACTOR = 1.5


@contextlib.asynccontextmanager
async def _kill(ground: Ground, member: Member) -> AsyncIterator[None]:
    ground.counts["workers killed"] += 1
    await member.kill()
    try:
        yield
    finally:
        await member.launch()


@contextlib.asynccontextmanager
async def _kill_in_append(ground: Ground, member: Member) -> AsyncIterator[None]:
    sprung = asyncio.Event()

    def spring() -> None:
        # In this very turn, before one byte of the reply goes on.
        member.kill_now()
        member.proxy.trap = None
        sprung.set()

    member.proxy.trap = Trap(MESSAGE, spring)
    try:
        await asyncio.wait_for(sprung.wait(), _TRAP_SECONDS)
        ground.counts["workers killed inside an append"] += 1
    except TimeoutError:
        ground.counts["workers killed"] += 1
    finally:
        member.proxy.trap = None
    await member.kill()
    try:
        yield
    finally:
        await member.launch()


@contextlib.asynccontextmanager
async def _pause(ground: Ground, member: Member) -> AsyncIterator[None]:
    ground.recorder.paused.add(member.name)
    member.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        member.signal(signal.SIGCONT)
        later = asyncio.get_running_loop().call_later
        later(_SETTLE_SECONDS, ground.recorder.paused.discard, member.name)


@contextlib.asynccontextmanager
async def _cancels(ground: Ground, member: Member) -> AsyncIterator[None]:
    """Cancel some 1,000 requests a second, each at a moment of its own."""

    async def one() -> None:
        session = ground.random.choice(ground.sessions)
        call = ground.append if ground.random.getrandbits(1) else ground.newest
        task = asyncio.create_task(call(member, session))
        await asyncio.sleep(ground.random.uniform(0, 0.003))
        ground.counts["requests cancelled"] += task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    began = time.monotonic()
    try:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(_CANCELLERS):
                await stack.enter_async_context(repeating(_CANCELLER_SECONDS, one))
            yield
    finally:
        ground.counts["milliseconds of cancelling"] += round(1000 * (time.monotonic() - began))


@contextlib.asynccontextmanager
async def _huge(ground: Ground, _: Member) -> AsyncIterator[None]:
    """Fill one session through a worker of its own, without a near cache."""
    async with ground.hire() as member:
        huge = await _moved(ground, member, "n/u/huge", _HUGE_SLICES)
        short = await _moved(ground, member, "n/u/short", 1)
        if huge is not None and short is not None:
            text = f"{huge} bytes, and {short} of a short one"
            ground.judge(Expectation.HUGE, text, kept=huge <= _HUGE_FACTOR * short)
        yield
        await ground.delete(member, "n/u/huge")


async def _moved(ground: Ground, member: Member, session: str, slices: int) -> int | None:
    """Return how many bytes the newest 20 bring after so many slices; None: no answer."""
    for _ in range(slices):
        answer = await ground.append(member, session, _HUGE_BYTES, count=_HUGE_SLICE)
        if answer is None or not answer["ok"]:
            return None
    before = member.proxy.bytes_down
    answer = await ground.newest(member, session)
    return member.proxy.bytes_down - before if answer is not None and answer["ok"] else None


WORKERS = (
    Kind("kill-worker", (1,), "an append is there whole or not at all", _kill),
    Kind(
        "kill-in-append",
        (1,),
        "as kill-worker; the store had the append already",
        _kill_in_append,
        seconds=(0.0, 0.5),
    ),
    Kind(
        "pause-worker",
        (23, 30),
        "nothing is answered under the old lease",
        _pause,
        seconds=(0.3, 4.0),
        outlasts=True,
    ),
    Kind("cancels", (26,), Expectation.RESTS, _cancels),
    Kind("huge-session", (36,), Expectation.HUGE, _huge, alone=True, seconds=(0.0, 0.1)),
)
