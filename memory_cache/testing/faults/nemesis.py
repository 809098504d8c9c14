"""The nemesis: draws faults from a seed, injects them overlapping, heals, and times recovery."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from memory_cache.testing.faults.crew import Member
from memory_cache.testing.faults.ground import Ground, Kind, SkippedError, Stage
from memory_cache.testing.faults.recorder import DEADLINE_SECONDS
from memory_cache.testing.faults.scores import Expectation
from memory_cache.testing.faults.store import CannotRunError
from memory_cache.testing.history import Fault

_MOST: Final = 3
_PAUSE_SECONDS: Final = (0.1, 1.0)
_PROBE_SECONDS: Final = 0.05
_ANSWER_SECONDS: Final = 20.0


class Nemesis:
    """Does harm to one round's ground."""

    def __init__(self, ground: Ground, kinds: Sequence[Kind], pace: float, seed: str) -> None:
        """Draw from these kinds; ``pace`` stretches every pause and hold."""
        self._seed = seed
        self._attacks = 0
        self._deck: list[Kind] = []
        self._ground = ground
        self._kinds = kinds
        self._pace = pace
        self.skipped: list[tuple[str, str]] = []
        self.recoveries: dict[str, list[float]] = defaultdict(list)

    async def run(self, until: float) -> None:
        """
        Inject and heal until a time of the monotonic clock.

        Raises:
            CannotRunError: store or worker do not come back.
        """
        while time.monotonic() < until:
            # A new one each time: how many numbers a fault draws may be up to the machine.
            self._ground.random.seed(f"{self._seed}/{self._attacks}")
            self._attacks += 1
            await asyncio.sleep(self._ground.random.uniform(*_PAUSE_SECONDS) * self._pace)
            await self._attack()

    async def _attack(self) -> None:
        """Inject some faults, hold them, heal them in another order, wait for recovery."""
        ground, drawn = self._ground, self._draw()
        members = ground.random.sample(ground.members, len(drawn))
        open_: list[tuple[Kind, float, contextlib.AsyncExitStack]] = []
        ground.is_alone = len(drawn) == 1
        try:
            for kind, member in zip(drawn, members, strict=True):
                stack = contextlib.AsyncExitStack()
                began = time.monotonic()
                open_.append((kind, began, stack))
                try:
                    await stack.enter_async_context(kind.inject(ground, member))
                except SkippedError as skipped:
                    self.skipped.append((kind.name, str(skipped)))
                    open_.pop()
            if open_:
                seconds = [kind.held(ground.random, self._pace) for kind, *_ in open_]
                await asyncio.sleep(max(seconds))
        finally:
            ground.random.shuffle(open_)
            for kind, began, stack in open_:
                await stack.aclose()
                fault = Fault(kind.name, began, time.monotonic())
                ground.recorder.history.faults.append(fault)
        await self._recover([kind for kind, *_ in open_])

    def _draw(self) -> list[Kind]:
        """Draw one fault that this stage is for, and up to two beside it."""
        ground = self._ground
        here = [kind for kind in self._kinds if ground.stage in kind.stages]
        if not self._deck:
            # Dealt, not drawn: each kind comes before one comes again.
            own = [kind for kind in here if kind.stages == {ground.stage}]
            # A safe store is for all that may happen to one, not for what needs one alone.
            own = here if ground.stage is Stage.SAFE else own or here
            some = [kind for kind in own if ground.random.random() < kind.share]
            self._deck = some or [*own]
            ground.random.shuffle(self._deck)
        drawn = [self._deck.pop()]
        wanted = ground.random.randint(1, min(_MOST, len(ground.members)))
        others = [kind for kind in here if not kind.alone]
        while others and len(drawn) < wanted and not drawn[0].alone:
            kind = ground.random.choice(others)
            if kind.target != "worker" and kind.target in {each.target for each in drawn}:
                others.remove(kind)
            else:
                drawn.append(kind)
        ground.random.shuffle(drawn)
        return drawn

    async def _recover(self, kinds: Sequence[Kind]) -> None:
        """Time from when the store answers to the first success of each worker."""
        ground = self._ground
        if not await ground.store.answers(_ANSWER_SECONDS):
            raise CannotRunError("the store did not come back")
        for member in ground.members:
            if member.died:
                text = f"{member.name} ended by itself"
                ground.judge(Expectation.KNOWN, text, kept=False)
                await member.launch()
        for member in ground.members:
            await member.until_ready()
        began = time.monotonic()
        seconds = await asyncio.gather(*(self._success(member) for member in ground.members))
        worst = max(seconds) - began
        allowed = max((kind.recovery for kind in kinds), default=1.0)
        names = "+".join(sorted(kind.name for kind in kinds))
        text = f"{worst:.2f} s after {names}"
        ground.judge(Expectation.RECOVERS, text, kept=worst <= allowed)
        for kind in kinds:
            self.recoveries[kind.name].append(worst)

    async def _success(self, member: Member) -> float:
        """Return when an append through a worker has succeeded, of several sent in a row."""
        session = f"n/u/{member.name}"
        tasks: set[asyncio.Task[object]] = set()
        deadline = time.monotonic() + DEADLINE_SECONDS
        try:
            while time.monotonic() < deadline:
                tasks.add(asyncio.create_task(self._ground.append(member, session)))
                done, tasks = await asyncio.wait(
                    tasks, timeout=_PROBE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                answers = [task.result() for task in done]
                if any(isinstance(answer, dict) and answer["ok"] for answer in answers):
                    break
                await asyncio.sleep(_PROBE_SECONDS if done else 0)
            return time.monotonic()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
