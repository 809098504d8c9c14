"""Faults of the store's process and of its log."""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from typing import Final

from memory_cache.testing.faults.crew import Member
from memory_cache.testing.faults.ground import Ground, Kind, SkippedError, Stage, meanwhile
from memory_cache.testing.faults.resp import StoreRefusedError, info
from memory_cache.testing.faults.scores import Expectation
from memory_cache.testing.faults.store import CannotRunError
from memory_cache.testing.faults.worker import Json

_END_SECONDS: Final = 10.0
_NOTICE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02
_CHUNK: Final = 1024 * 1024
_TORN_BYTES: Final = 4000
_LOSSY: Final = frozenset({Stage.LOSSY})
_DISK: Final = frozenset({Stage.DISK})


async def _persistence(ground: Ground) -> dict[str, str]:
    try:
        return await info(ground.store.port, "persistence")
    except (OSError, TimeoutError, StoreRefusedError):
        return {}


async def _crash(ground: Ground) -> None:
    """Kill the store. What its log has not taken, for an fsync that is slow, may go: noted."""
    facts = await _persistence(ground)
    began = time.monotonic()
    await ground.store.kill()
    ground.counts["store killed"] += 1
    late = ("aof_delayed_fsync", "aof_pending_bio_fsync", "aof_buffer_length")
    if any(facts.get(name, "0") != "0" for name in late):
        ground.counts["store killed while an fsync was late"] += 1
        ground.may_have_lost("late-fsync", began, emptied=False)


@contextlib.asynccontextmanager
async def _kill(ground: Ground, _: Member) -> AsyncIterator[None]:
    await _crash(ground)
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
async def _torn_log(ground: Ground, _: Member) -> AsyncIterator[None]:
    began = time.monotonic()
    await ground.store.kill()
    tail = ground.store.tail
    size = tail.stat().st_size
    os.truncate(tail, max(0, size - ground.random.randint(1, _TORN_BYTES)))
    ground.may_have_lost("torn-log", began, emptied=False)
    try:
        yield
    finally:
        await ground.store.start()


@contextlib.asynccontextmanager
async def _corrupt_log(ground: Ground, member: Member) -> AsyncIterator[None]:
    await ground.store.kill()
    tail = ground.store.tail
    sound = tail.read_bytes()
    at = sound.find(b"\n*", len(sound) // 2)
    if at < 0:
        await ground.store.start()
        raise SkippedError("the log is too short to be corrupt in its middle")
    tail.write_bytes(sound[: at + 1] + b"!" + sound[at + 2 :])
    try:
        await ground.store.launch()
        ended = await ground.store.ended(_END_SECONDS)
        if not ended:
            ground.judge(Expectation.CORRUPT, "it started", kept=False)
        async with meanwhile(_ask_in_vain(ground, member)):
            yield
    finally:
        await ground.store.kill()
        tail.write_bytes(sound)
        await ground.store.start()


async def _ask_in_vain(ground: Ground, member: Member) -> None:
    answer = await ground.newest(member, ground.sessions[0])
    is_answered = answer is not None and answer["ok"]
    ground.judge(Expectation.CORRUPT, f"{member.name} answered", kept=not is_answered)


@contextlib.asynccontextmanager
async def _full_disk(ground: Ground, member: Member) -> AsyncIterator[None]:
    filler = ground.store.folder / "filler"
    try:
        await asyncio.to_thread(_fill, filler)
        async with meanwhile(_write_in_vain(ground, member)):
            yield
    finally:
        filler.unlink(missing_ok=True)
        if not await _log_state(ground, "ok"):
            raise CannotRunError("the store does not write its log again")


async def _write_in_vain(ground: Ground, member: Member) -> None:
    while not await _log_state(ground, "err"):
        pass
    refused = await ground.append(member, ground.sessions[0])
    read = await ground.newest(member, ground.sessions[0])
    reason = "the store cannot persist to its disk"
    if refused is not None and refused.get("reason") == reason:
        kept = refused["applied"] == "no" and (read or {}).get("reason") != reason
        ground.judge(Expectation.DISK, f"{refused}, {read}", kept=kept)


def _fill(path: os.PathLike[str]) -> None:
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:  # noqa: PTH123
        while file.write(bytes(_CHUNK)):
            pass


async def _log_state(ground: Ground, state: str) -> bool:
    """Wait until the store says this of its last write to the log."""
    deadline = time.monotonic() + _NOTICE_SECONDS
    while time.monotonic() < deadline:
        if (await _persistence(ground)).get("aof_last_write_status") == state:
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


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
    await _crash(ground)
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
    Kind("corrupt-log", (9,), Expectation.CORRUPT, _corrupt_log, "store"),
    Kind("herd", (32,), Expectation.HERD, _herd, "store", alone=True, seconds=(0.0, 0.1)),
    Kind("start-empty", (6, 14), Expectation.FORGOTTEN, _start_empty, "store", _LOSSY),
    Kind(
        "torn-log", (8,), "the last change is there whole or not at all", _torn_log, "store", _LOSSY
    ),
    Kind("full-disk", (10,), Expectation.DISK, _full_disk, "store", _DISK),
)
