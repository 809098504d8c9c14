"""What may happen to the system, by name; each ends by itself."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from memory_cache import SessionKey
from memory_cache.testing.simulation._engine import Engine
from memory_cache.testing.simulation._network import chance
from memory_cache.testing.simulation._process import Process

_REQUESTS: Final = {"refused": "refused", "lost": "lost", "late": "late", "cut_off": "cut"}
_REPLIES: Final = {"no_reply": "lost", "late_reply": "late"}


class Nemesis:
    """
    Strikes one worker, or the server.

    ``kinds`` are the names. What lasts is over after the time that ``strike`` is given.
    """

    def __init__(self, engine: Engine, keys: Sequence[SessionKey], random: Random) -> None:
        """Have these sessions to strike at."""
        self._engine = engine
        self._keys = keys
        self._random = random
        self._ends: dict[asyncio.TimerHandle, Callable[[], None]] = {}
        self._dying: dict[asyncio.Task[None], Process] = {}

    # Those that have broken more than others stand here more than once.
    kinds: Final = (
        *("refused", "lost", "late", "cut_off", "no_reply", "slow", "commands_cut"),
        *("late_reply", "late_reply", "late_reply", "commands_down", "no_subscription"),
        *("cut", "silent", "stalled", "half_open", "half_open", "half_open", "again", "garbage"),
        *("script_flush", "evict", "evict_near", "kill", "freeze", "freeze", "suspend"),
        *("overtaken", "overtaken"),
        *("failover", "quiet_failover", "quiet_failover", "restart", "flush"),
    )

    def strike(self, kind: str, process: Process, seconds: float, amount: int = 1) -> None:
        """Let one of ``kinds`` happen; ``amount``: of calls, messages or writes it is about."""
        self._engine.trace("nemesis", kind, process.name, round(seconds, 6), amount)
        began = self._engine.clock.now()
        if kind in _REQUESTS:
            process.wire.requests.extend([_REQUESTS[kind]] * amount)
        elif kind in _REPLIES:
            process.wire.replies.extend([_REPLIES[kind]] * amount)
        elif kind in _TO_A_WORKER:
            start, end = _TO_A_WORKER[kind]
            start(process)
            self._later(seconds, process, end)
        else:
            getattr(self, f"_{kind}")(process, seconds, amount)
        self._engine.struck(kind, began, may_lose=kind in {"flush", "evict"})

    def heal(self) -> None:
        """End whatever lasts."""
        for handle, end in list(self._ends.items()):
            handle.cancel()
            end()
        self._ends.clear()
        for process in self._engine.processes:
            process.wire.requests.clear()
            process.wire.replies.clear()

    async def rest(self) -> None:
        """Wait until every worker is there again."""
        while self._dying:
            await asyncio.wait(list(self._dying))

    def _later(self, seconds: float, process: Process, end: Callable[[Process], None]) -> None:
        def over() -> None:
            self._ends.pop(handle, None)
            end(process)

        handle = self._engine.loop.call_later(seconds, over)
        self._ends[handle] = over

    # To a worker

    def _again(self, process: Process, _seconds: float, amount: int) -> None:
        """Let it hear once more what it heard before, in this generation or an older one."""
        reign = self._engine.server.replid[:10].encode()
        # Of a reign that is over nothing can come: its node's connections have ended.
        past = [told for told in process.past if reign in told[1].partition(b"\n")[2][:400]]
        for _ in range(min(amount, len(past))):
            process.bus.inject(*self._random.choice(past))

    def _garbage(self, process: Process, _seconds: float, amount: int) -> None:
        """Let it hear what is of another release, and then some changes whose end is missing."""
        process.bus.inject(self._random.choice(self._keys), b"Z\nof another release")
        process.bus.tear_next(amount)

    def _evict_near(self, process: Process, _seconds: float, _amount: int) -> None:
        if process.cache is not None:
            held = process.cache._parts.near._held  # noqa: SLF001  # it has no public name
            if held:
                held.popitem()

    def _kill(self, process: Process, seconds: float, _amount: int) -> None:
        """Let it end, one time in two in order: it closes its cache amid the calls of clients."""
        # One that stands still closes only when it goes on; until then it must not be ended again.
        if process.alive and process not in self._dying.values():
            in_order = chance(self._random, 0.5)
            task = self._engine.loop.create_task(self._die(process, seconds, in_order=in_order))
            self._dying[task] = process
            task.add_done_callback(self._dying.pop)

    async def _die(self, process: Process, seconds: float, *, in_order: bool) -> None:
        if in_order:
            self._engine.trace("nemesis", "that is, close", process.name)
            await self._engine.closed(process)
        else:
            await process.kill()
        await asyncio.sleep(seconds)
        await process.start()

    # To the server

    def _script_flush(self, _process: Process, _seconds: float, _amount: int) -> None:
        self._engine.around.scripts.clear()

    def _evict(self, _process: Process, _seconds: float, _amount: int) -> None:
        self._engine.oracle.evict(self._random.choice(self._keys))

    def _flush(self, _process: Process, _seconds: float, _amount: int) -> None:
        self._engine.server.flush()

    def _failover(self, _process: Process, _seconds: float, amount: int) -> None:
        for each in self._engine.processes:
            each.wire.cut()
        self._another_node(amount - 1, cut=True)

    def _another_node(self, lose: int, *, cut: bool) -> None:
        engine = self._engine
        engine.trace("nemesis", "another node takes over, without the last", lose)
        engine.server.failover(lose=lose, cut=cut)
        engine.struck("takeover", engine.clock.now(), may_lose=lose > 0)

    def _quiet_failover(self, _process: Process, seconds: float, amount: int) -> None:
        """The old node's subscriptions stay open; what it said last still comes, slowly."""
        for each in self._engine.processes:
            _slow(each)
            self._later(seconds, each, _steady)
        self._later(seconds / 3, _process, lambda _: self._another_node(amount - 1, cut=False))

    def _restart(self, _process: Process, seconds: float, amount: int) -> None:
        """The store is away for a while, and comes back without its last writes."""
        self._script_flush(_process, seconds, amount)
        self._failover(_process, seconds, amount)
        for each in self._engine.processes:
            _down(each)
            self._later(seconds, each, _up)

    def _suspend(self, _process: Process, seconds: float, _amount: int) -> None:
        self._engine.clock.advance(3 * seconds)

    def _cut(self, process: Process, _seconds: float, _amount: int) -> None:
        process.bus.cut()

    def _silent(self, process: Process, _seconds: float, _amount: int) -> None:
        process.bus.blackhole()

    def _commands_cut(self, process: Process, _seconds: float, _amount: int) -> None:
        process.wire.cut()

    def _overtaken(self, process: Process, seconds: float, amount: int) -> None:
        """What is asked now is answered late: perhaps in the next generation."""
        process.wire.replies.extend(["late"] * amount)
        self._later(seconds * self._random.random() / 3, process, _cut)

    def _half_open(self, process: Process, seconds: float, _amount: int) -> None:
        """What is on its way comes late, and nothing after it."""
        process.bus.hold()
        self._later(seconds, process, _release)
        self._later(seconds * self._random.random() / 2, process, _silence)


def _down(process: Process) -> None:
    process.wire.down = True
    process.wire.cut()


def _up(process: Process) -> None:
    process.wire.down = process.killed


def _slow(process: Process) -> None:
    process.wire.slowness = 40.0


def _steady(process: Process) -> None:
    process.wire.slowness = 1.0


def _cut(process: Process) -> None:
    process.bus.cut()


def _release(process: Process) -> None:
    process.bus.release()


def _silence(process: Process) -> None:
    process.bus.blackhole()


def _without_subscription(process: Process) -> None:
    process.wire.no_subscription = True
    process.bus.cut()


def _with_subscription(process: Process) -> None:
    process.wire.no_subscription = False


_TO_A_WORKER: Final[dict[str, tuple[Callable[[Process], None], Callable[[Process], None]]]] = {
    "slow": (_slow, _steady),
    "commands_down": (_down, _up),
    "stalled": (lambda process: process.bus.hold(), _release),
    "no_subscription": (_without_subscription, _with_subscription),
    "freeze": (Process.freeze, Process.thaw),
}
