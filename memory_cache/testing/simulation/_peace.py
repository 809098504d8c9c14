"""The peace in which all must come right."""

import asyncio
from collections.abc import Sequence
from typing import Final

from memory_cache import SessionKey
from memory_cache.testing.checker import Verdict, check_history
from memory_cache.testing.simulation._client import Client
from memory_cache.testing.simulation._engine import Engine
from memory_cache.testing.simulation._nemesis import Nemesis

_PATIENCE_SECONDS: Final = 30.0

_MOST_LOSSES: Final = 0
"""
After more faults that may lose something what clients saw leaves several stories open: then the
oracle alone judges, which knows the true one.
"""


async def settle(engine: Engine, nemesis: Nemesis, keys: Sequence[SessionKey]) -> None:
    """
    Heal everything, see that all comes right by itself, and end.

    Soon every worker takes a change, and each shows what the store has; nothing is left behind.
    """
    nemesis.heal()
    await nemesis.rest()
    await engine.ended(_PATIENCE_SECONDS)
    await asyncio.sleep(2 * engine.bound)
    if any(fault.kind == "evict" for fault in engine.history.faults):
        # Nobody was told: the sweep finds it.
        await asyncio.sleep(2 * max(one.config.sweep_seconds for one in engine.processes))
    client = Client(engine, "final")
    for key in keys:
        for process in engine.processes:
            await client.append(process, key, [20])
    await asyncio.sleep(engine.bound)
    for key in keys:
        for process in engine.processes:
            for _ in range(2):
                page = await client.reader.read(process, key, limit=3)
                if page is None or page.header != engine.current(key):
                    engine.wrong(f"{process.name} does not show {key} as it is, after the heal")
    engine.check()
    await engine.close()
    engine.finish(keys)


def judge(engine: Engine) -> Verdict:
    """Judge what the clients of a run that has ended saw; anomalies join the engine's."""
    verdict = check_history(engine.history, engine.bound)
    if sum(fault.may_lose for fault in engine.history.faults) <= _MOST_LOSSES:
        for one in verdict.anomalies:
            engine.wrong(f"{one.kind}: {one.text}")
    return verdict
