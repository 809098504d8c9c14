"""One round: a store, workers and clients of its own, faults, and the judgement of its history."""

import asyncio
import contextlib
import itertools
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memory_cache.testing.checker import Verdict, check_history
from memory_cache.testing.faults.clients import Client
from memory_cache.testing.faults.crew import Member, hired
from memory_cache.testing.faults.final import finals
from memory_cache.testing.faults.ground import STALENESS_SECONDS, Ground, Kind, Stage
from memory_cache.testing.faults.nemesis import Nemesis
from memory_cache.testing.faults.recorder import DEADLINE_SECONDS, Recorder
from memory_cache.testing.faults.scores import Expectation, Scores
from memory_cache.testing.faults.small_disk import small_disk
from memory_cache.testing.faults.spanning import unplace
from memory_cache.testing.faults.store import Store
from memory_cache.testing.faults.worker import Json
from memory_cache.testing.history import Answer, Fault, History, Read

_REST_SECONDS: Final = DEADLINE_SECONDS
"""As long as a request may take: a large one over a dead connection knows after eight seconds."""

_POLL_SECONDS: Final = 0.02

_SCOPES: Final = ("a/u/", "a/v/", "b/u/", "//")


@dataclass(frozen=True, slots=True)
class Plan:
    """What one round is to do."""

    number: int
    stage: Stage
    seconds: float
    seed: int
    workers: int
    clients: int
    sessions: int
    kinds: Sequence[Kind]
    pace: float
    command: Sequence[str]


@dataclass(frozen=True, slots=True)
class Result:
    """What one round showed; the history goes once it is judged."""

    plan: Plan
    ground: Ground
    nemesis: Nemesis
    history: History
    scores: Scores
    verdict: Verdict


async def play(plan: Plan, folder: Path) -> Result:
    """
    Run one round in a new folder, which is removed.

    Raises:
        CannotRunError: store or workers do not start, or do not come back.
        SkippedError: the stage cannot be had on this machine.
    """
    scores = Scores()
    async with contextlib.AsyncExitStack() as stack:
        place = folder / f"round-{plan.number}"
        place.mkdir()
        home = place / "store"
        if plan.stage is Stage.DISK:
            home = await stack.enter_async_context(small_disk(place / "disk")) / "store"
        store = await stack.enter_async_context(Store.running(home))
        settings = {"staleness_seconds": STALENESS_SECONDS}
        team = hired(plan.workers, store.port, place, plan.command, settings)
        ground = Ground(
            stage=plan.stage,
            store=store,
            members=await stack.enter_async_context(team),
            sessions=_sessions(plan.sessions),
            recorder=Recorder(scores),
            random=random.Random(),  # noqa: S311  # the nemesis seeds it
            hire=lambda: _hire(store, place, plan),
        )
        nemesis = Nemesis(ground, plan.kinds, plan.pace, f"{plan.seed}/{plan.number}")
        await _play(plan, ground, nemesis)
        await asyncio.gather(*(_judge_rest(ground, member) for member in ground.members))
        history = ground.recorder.history
        named = {write.session for write in history.writes}
        named |= {read.session for read in history.reads}
        try:
            history.finals = await finals(store.port, sorted(named), ground.recorder)
        except (KeyError, ValueError) as error:
            ground.judge(Expectation.KNOWN, f"the store holds nonsense: {error!r}", kept=False)
    _judge_emptied(ground)
    unplace(history)
    verdict = await asyncio.to_thread(check_history, history, STALENESS_SECONDS)
    return Result(plan, ground, nemesis, history, scores, verdict)


async def _play(plan: Plan, ground: Ground, nemesis: Nemesis) -> None:
    share = math.ceil(plan.clients / plan.workers)
    clients = [
        Client(f"c{number}", f"{plan.seed}/{plan.number}/{number}", ground, share)
        for number in range(plan.clients)
    ]
    # The nemesis alone ends by itself: a client that does has failed, and the round with it.
    works = [nemesis.run(time.monotonic() + plan.seconds), *(client.run() for client in clients)]
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _judge_rest(ground: Ground, member: Member) -> None:
    """See that a worker of which nobody asks anything any more soon holds nothing of before."""
    held: Json | None = None
    end = time.monotonic() + _REST_SECONDS
    while time.monotonic() < end:
        answer = await ground.held(member)
        held = None if answer is None else answer["held"]
        if held == {}:
            break
        await asyncio.sleep(_POLL_SECONDS)
    ground.judge(Expectation.RESTS, f"{member.name} holds {held}", kept=held == {})


def _sessions(count: int) -> list[str]:
    """Return names that share parts, so that a mix-up of scopes shows."""
    names = ((number, scope) for number in itertools.count() for scope in _SCOPES)
    return [f"{scope}s{number}" for number, scope in itertools.islice(names, count)]


@contextlib.asynccontextmanager
async def _hire(store: Store, place: Path, plan: Plan) -> AsyncIterator[Member]:
    """Give one more worker, without a near cache, whose link carries what it is asked for."""
    folder = place / "one-more"
    folder.mkdir(exist_ok=True)
    async with hired(1, store.port, folder, plan.command, {"near_cache_bytes": 0}) as [member]:
        yield member


def _judge_emptied(ground: Ground) -> None:
    """Once the store was emptied, no answer may name an incarnation that was known before."""
    history = ground.recorder.history
    for fault in ground.emptied:
        seen = [(write.session, write.version, write.done) for write in history.writes]
        seen += [(read.session, read.version, read.done) for read in history.reads]
        known = {
            (session, _inc(version))
            for session, version, done in seen
            if version is not None and done is not None and done < fault.began
        }
        late = [read for read in history.reads if _is_ghost(read, fault, known)]
        for read in late[:3]:
            text = f"{read.session} at {read.worker}: {read.version}"
            ground.judge(Expectation.FORGOTTEN, text, kept=False)
        if not late:
            ground.judge(Expectation.FORGOTTEN, "", kept=True)


def _is_ghost(read: Read, fault: Fault, known: set[tuple[str, str]]) -> bool:
    return (
        read.answer is Answer.PAGE
        and read.version is not None
        and read.sent > fault.ended + STALENESS_SECONDS
        and (read.session, _inc(read.version)) in known
    )


def _inc(version: str) -> str:
    return version.partition(".")[0]
