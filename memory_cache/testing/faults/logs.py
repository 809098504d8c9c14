"""Faults of the store's log, and of the disk it is on."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from typing import Final

from memory_cache.testing.faults.crew import Member
from memory_cache.testing.faults.ground import (
    STALENESS_SECONDS,
    Ground,
    Kind,
    SkippedError,
    Stage,
    meanwhile,
)
from memory_cache.testing.faults.resp import StoreRefusedError, info
from memory_cache.testing.faults.scores import Expectation
from memory_cache.testing.faults.store import CannotRunError
from memory_cache.testing.history import Applied

_END_SECONDS: Final = 10.0
_NOTICE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02
_CHUNK: Final = 1024 * 1024
_TORN_BYTES: Final = 4000
_UNWRITABLE_BYTES: Final = 5000
_DISK: Final = frozenset({Stage.DISK})


async def persistence(ground: Ground) -> dict[str, str]:
    """Return what the store says of its log; nothing if it does not answer."""
    try:
        return await info(ground.store.port, "persistence")
    except (OSError, TimeoutError, StoreRefusedError):
        return {}


async def crash(ground: Ground) -> None:
    """Kill the store. What its log has not taken, for an fsync that is slow, may go: noted."""
    facts = await persistence(ground)
    began = time.monotonic()
    await ground.store.kill()
    ground.counts["store killed"] += 1
    late = ("aof_delayed_fsync", "aof_pending_bio_fsync", "aof_buffer_length")
    if any(facts.get(name, "0") != "0" for name in late):
        ground.counts["store killed while an fsync was late"] += 1
        ground.may_have_lost("late-fsync", began, emptied=False)


@contextlib.asynccontextmanager
async def _torn(ground: Ground, _: Member) -> AsyncIterator[None]:
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
async def _corrupt(ground: Ground, _: Member) -> AsyncIterator[None]:
    await crash(ground)
    killed = time.monotonic()
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
        ground.judge(Expectation.CORRUPT, "it started", kept=ended)
        async with contextlib.AsyncExitStack() as stack:
            for member in ground.members:
                await stack.enter_async_context(meanwhile(_ask_in_vain(ground, member, killed)))
            yield
    finally:
        await ground.store.kill()
        tail.write_bytes(sound)
        await ground.store.start()


async def _ask_in_vain(ground: Ground, member: Member, killed: float) -> None:
    session = ground.sessions[0]
    answers = {
        "newest": await ground.newest(member, session),
        "append": await ground.append(member, session),
    }
    await asyncio.sleep(killed + STALENESS_SECONDS - time.monotonic())
    answers["bounded"] = await ground.recent(member, session)
    for asked, answer in answers.items():
        is_answered = answer is not None and answer["ok"]
        ground.judge(Expectation.CORRUPT, f"{member.name}: {asked}", kept=not is_answered)


@contextlib.asynccontextmanager
async def _full(ground: Ground, member: Member) -> AsyncIterator[None]:
    filler = ground.store.folder / "filler"
    try:
        full = await asyncio.to_thread(_fill, filler)
        async with meanwhile(_write_in_vain(ground, member, full)):
            yield
    finally:
        filler.unlink(missing_ok=True)
        if not await _log_state(ground, "ok"):
            raise CannotRunError("the store does not write its log again")


async def _write_in_vain(ground: Ground, member: Member, full: float) -> None:
    while not await _log_state(ground, "err"):
        pass
    noticed = time.monotonic()
    # Until it notices, the store acknowledges what it has in memory alone.
    ground.counts["changes acknowledged on a full disk that was not noticed yet"] += sum(
        write.applied is Applied.YES and full <= write.sent <= noticed
        for write in ground.recorder.history.writes
    )
    refused = await ground.append(member, ground.sessions[0])
    read = await ground.newest(member, ground.sessions[0])
    reason = "the store cannot persist to its disk"
    if refused is not None and refused.get("reason") == reason:
        kept = refused["applied"] == "no" and (read or {}).get("reason") != reason
        if ground.is_alone:
            # Nothing else is in the way of a read.
            kept = kept and read is not None and read["ok"]
        ground.judge(Expectation.DISK, f"{refused}, {read}", kept=kept)


@contextlib.asynccontextmanager
async def _full_before_answers(ground: Ground, member: Member) -> AsyncIterator[None]:
    """Fill the disk of a store that writes and syncs its log before it answers: it must end."""
    filler = ground.store.folder / "filler"
    try:
        await ground.order(("CONFIG", "SET", "appendfsync", "always"))
        await asyncio.to_thread(_fill, filler)
        async with meanwhile(_write_on(ground, member)):
            ended = await ground.store.ended(_END_SECONDS)
        ground.judge(Expectation.ALWAYS, "it went on", kept=ended)
        yield
    finally:
        filler.unlink(missing_ok=True)
        await ground.store.kill()
        await ground.store.start()


async def _write_on(ground: Ground, member: Member) -> None:
    while True:
        await ground.append(member, ground.sessions[0], _UNWRITABLE_BYTES)
        await asyncio.sleep(_POLL_SECONDS)


def _fill(path: os.PathLike[str]) -> float:
    """Take all room there is; return when it was gone."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:  # noqa: PTH123
        while file.write(bytes(_CHUNK)):
            pass
    return time.monotonic()


async def _log_state(ground: Ground, state: str) -> bool:
    """Wait until the store says this of its last write to the log."""
    deadline = time.monotonic() + _NOTICE_SECONDS
    while time.monotonic() < deadline:
        if (await persistence(ground)).get("aof_last_write_status") == state:
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


LOGS = (
    Kind("corrupt-log", (9,), Expectation.CORRUPT, _corrupt, "store", outlasts=True),
    Kind(
        "torn-log",
        (8,),
        "the last change is there whole or not at all",
        _torn,
        "store",
        frozenset({Stage.LOSSY}),
    ),
    Kind("full-disk", (10,), Expectation.DISK, _full, "store", _DISK),
    Kind("full-disk-always", (10,), Expectation.ALWAYS, _full_before_answers, "store", _DISK),
)
