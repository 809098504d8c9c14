"""One seed, from its plan to its verdict."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from memory_cache import NEWEST, SessionKey, at_least
from memory_cache.testing.checker import Verdict
from memory_cache.testing.history import History
from memory_cache.testing.simulation._client import Client
from memory_cache.testing.simulation._engine import Engine, Event
from memory_cache.testing.simulation._loop import StuckError
from memory_cache.testing.simulation._nemesis import Nemesis
from memory_cache.testing.simulation._network import chance
from memory_cache.testing.simulation._peace import judge, settle
from memory_cache.testing.simulation._plan import Plan, draw
from memory_cache.testing.simulation._process import Process

_PATIENCE_SECONDS: Final = 30.0
"""What was begun must have ended by then, once all is well; of these seconds none really passes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one seed; ``anomalies`` is empty if every promise was kept."""

    seed: int
    plan: Plan
    anomalies: Sequence[str]
    events: Sequence[Event]
    history: History
    verdict: Verdict | None

    @property
    def first_anomaly(self) -> int:
        """Where in ``events`` the first one was seen; their number if that was in the end."""
        places = (at for at, (_, what) in enumerate(self.events) if what[0] == "ANOMALY")
        return next(places, len(self.events))

    def trace(self) -> list[str]:
        """Return what happened, a line an event."""
        return [f"{at:10.6f}  {' '.join(map(str, what))}" for at, what in self.events]


def simulate(seed: int) -> Outcome:
    """Run a seed; the same seed gives the same events."""
    random = Random(f"{seed} plan")  # noqa: S311  # to repeat a run
    plan = draw(random, Nemesis.kinds)
    engine = Engine(seed, plan.configs)
    try:
        engine.run(_Run(engine, plan, random).all())
        verdict = judge(engine)
    except StuckError as error:
        engine.wrong(f"stuck: {error}")
        verdict = None
    finally:
        engine.dispose()
    return Outcome(seed, plan, engine.anomalies, engine.events, engine.history, verdict)


class _Run:
    """Clients at work, a nemesis, then the peace in which all must come right."""

    def __init__(self, engine: Engine, plan: Plan, random: Random) -> None:
        self._engine = engine
        self._plan = plan
        self._random = random
        self._nemesis = Nemesis(engine, plan.keys, random)

    async def all(self) -> None:
        engine = self._engine
        await engine.start()
        clients = [Client(engine, f"c{number}") for number in range(self._plan.clients)]
        tasks = [engine.loop.create_task(self._work(client)) for client in clients]
        tasks += [engine.loop.create_task(part) for part in (self._watch(), self._strike())]
        _, late = await asyncio.wait(tasks, timeout=self._plan.seconds + _PATIENCE_SECONDS)
        for task in tasks:
            if task in late:
                engine.wrong("a client waits for ever")
                task.cancel()
            elif error := task.exception():
                engine.wrong(f"a call failed with what it may not raise: {error!r}")
        await settle(engine, self._nemesis, self._plan.keys)

    async def _work(self, client: Client) -> None:
        end = self._engine.clock.now() + self._plan.seconds
        while self._engine.clock.now() < end:
            await asyncio.sleep(self._random.expovariate(20 / self._plan.seconds))
            key = self._random.choice(self._plan.keys)
            writes = chance(self._random, 0.5)
            those = self._engine.processes[: self._plan.writers if writes else None]
            process = self._random.choice(those)
            if process.alive:
                await (self._change if writes else self._read)(client, process, key)
            self._engine.check()

    async def _change(self, client: Client, process: Process, key: SessionKey) -> None:
        random = self._random
        kind = random.choice(self._plan.changes)
        count = 70 if chance(random, 0.01) else random.choice([1, 1, 2, self._plan.many])
        sizes = [random.randint(10, self._plan.largest) for _ in range(count)]
        named = chance(random, 0.5)
        ttl = 1 if self._plan.ttl and chance(random, 0.5) else None
        if kind == "append":
            await client.append(process, key, sizes, named=named, ttl=ttl)
        elif kind == "conditional":
            version = client.versions.get(key)
            await client.append(process, key, sizes, named=named, if_version=version)
        elif kind == "again":
            await client.again(process, random.randrange(1000))
        elif kind == "put":
            await client.put(process, key, sizes, named=named, ttl=ttl)
        elif kind == "cut":
            await client.put(process, key, sizes, drop=random.randint(1, 3))
        elif kind == "edit":
            await client.put(process, key, sizes, change=True)
        elif kind == "replace":
            await client.replace(process, key, sizes)
        elif kind == "delete":
            await client.delete(process, key, named=named)
        else:
            await client.set_fields(process, key)

    async def _read(self, client: Client, process: Process, key: SessionKey) -> None:
        kind, limit = self._random.choice(self._plan.reads), self._random.choice([0, 1, 2, 20])
        version = client.versions.get(key)
        if kind == "whole":
            await client.reader.read(process, key, limit=None)
        elif kind == "newest":
            await client.reader.read(process, key, limit=limit, consistency=NEWEST)
        elif kind == "at_least" and version is not None:
            await client.reader.read(process, key, limit=limit, consistency=at_least(version))
        else:
            await client.reader.read(process, key, limit=limit)

    async def _watch(self) -> None:
        """See what the near caches would answer, again and again."""
        watcher = Client(self._engine, "watcher").reader
        end = self._engine.clock.now() + self._plan.seconds
        while self._engine.clock.now() < end:
            await asyncio.sleep(self._random.expovariate(60 / self._plan.seconds))
            for process in self._engine.processes:
                if process.alive and not process.standing_still:
                    for key in self._plan.keys:
                        watcher.peek(process, key, self._random.choice([0, 1, 3]))

    async def _strike(self) -> None:
        plan, random = self._plan, self._random
        end = self._engine.clock.now() + plan.seconds
        for _ in range(plan.faults):
            await asyncio.sleep(random.expovariate(plan.faults / plan.seconds))
            if self._engine.clock.now() > end:
                return
            process = random.choice(self._engine.processes)
            most = random.choice([0.3, 1.0, 2.5])
            seconds = random.uniform(0.05, most) * plan.configs[0].staleness_seconds
            self._nemesis.strike(random.choice(plan.kinds), process, seconds, random.randint(1, 4))
