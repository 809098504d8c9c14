"""Faults of the store's process."""

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import AsyncIterator
from typing import Final

from memory_cache.testing.faults.crew import Member
from memory_cache.testing.faults.ground import Ground, Kind, Stage
from memory_cache.testing.faults.logs import crash
from memory_cache.testing.faults.scores import Expectation
from memory_cache.testing.faults.worker import Json

_END_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
_LOSSY: Final = frozenset({Stage.LOSSY})


@contextlib.asynccontextmanager
async def _kill(ground: Ground, _: Member) -> AsyncIterator[None]:
    await crash(ground)
    try:
        yield
    finally:
        await ground.store.start()


@contextlib.asynccontextmanager
async def _restart(ground: Ground, _: Member) -> AsyncIterator[None]:
    ground.store.signal(signal.SIGTERM)
    if not await ground.store.ended(_END_SECONDS):
        await ground.store.kill()
    try:
        yield
    finally:
        await ground.store.start()


@contextlib.asynccontextmanager
async def _pause(ground: Ground, _: Member) -> AsyncIterator[None]:
    ground.store.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        ground.store.signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def _start_empty(ground: Ground, _: Member) -> AsyncIterator[None]:
    began = time.monotonic()
    await ground.store.kill()
    shutil.rmtree(ground.store.logs)
    try:
        yield
    finally:
        await ground.store.start()
        ground.may_have_lost("start-empty", began, emptied=True)


@contextlib.asynccontextmanager
async def _herd(ground: Ground, _: Member) -> AsyncIterator[None]:
    """
    Restart the store, and let everybody read every session at once, again and again.

    Meanwhile clients only append and read: an edit, too, makes a worker fill a session again.
    """
    ground.recorder.is_calm = True
    try:
        await _quiet(ground)
        await _stampede(ground)
        yield
    finally:
        ground.recorder.is_calm = False


async def _quiet(ground: Ground) -> None:
    """Wait until no edit is under way."""
    while ground.recorder.edits:  # noqa: ASYNC110  # nobody signals it
        await asyncio.sleep(_POLL_SECONDS)


async def _stampede(ground: Ground) -> None:
    await crash(ground)
    before = [await _forlorn(ground, member) for member in ground.members]
    await ground.store.start()
    for _ in range(5):
        await asyncio.gather(
            *(
                ground.recent(member, session)
                for member in ground.members
                for session in ground.sessions
                for _ in range(4)
            )
        )
    for member, was in zip(ground.members, before, strict=True):
        now = await ground.statistics(member)
        if was is not None and now is not None:
            fills = now["fills"] - was["fills"]
            # A session that became suspect for another reason is looked at again, rightly.
            others = _other_suspects(now) - _other_suspects(was)
            ground.counts["sessions that became suspect amid a herd"] += others
            allowed = len(ground.sessions) + others
            generations = now["generations"] - was["generations"]
            text = f"{member.name}: {fills} fills in {generations} generations, not {allowed}"
            ground.judge(Expectation.HERD, text, kept=fills <= allowed)


async def _forlorn(ground: Ground, member: Member) -> Json | None:
    """
    Return the counters of a worker that has noticed the end of the store.

    Before it has, what the store answered at the last moment may still be put into a ring: a
    fill of the generation that is about to end, and none of those that follow the restart.
    """
    while (found := await ground.statistics(member)) is not None and found["connected"]:  # noqa: ASYNC110  # nobody signals it
        await asyncio.sleep(_POLL_SECONDS)
    return found


def _other_suspects(statistics: Json) -> int:
    """Count the sessions that became suspect, but for those by the end of a connection."""
    suspects: dict[str, int] = statistics["suspects"]
    return sum(count for reason, count in suspects.items() if reason != "lost")


LIVES = (
    Kind("kill-store", (4,), "all that was acknowledged is kept", _kill, "store"),
    Kind("restart-store", (4, 13), "all that was acknowledged is kept", _restart, "store"),
    Kind(
        "pause-store",
        (22, 29),
        "errors by the deadline, nothing doubled after",
        _pause,
        "store",
        seconds=(0.3, 4.0),
        outlasts=True,
    ),
    Kind("herd", (32,), Expectation.HERD, _herd, "store", alone=True, seconds=(0.0, 0.1)),
    Kind("start-empty", (6, 14), Expectation.FORGOTTEN, _start_empty, "store", _LOSSY),
)
