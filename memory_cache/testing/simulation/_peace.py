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
        _see_gone(engine, keys)
    client = Client(engine, "final")
    for key in keys:
        for process in engine.processes:
            await client.append(process, key, [20])
    await asyncio.sleep(engine.bound)
    for key in keys:
        for process in engine.processes:
            for _ in range(2):
                before = engine.current(key)
                page = await client.reader.read(process, key, limit=3)
                # It may expire while it is read.
                if page is None or page.header not in (before, engine.current(key)):
                    engine.wrong(f"{process.name} does not show {key} as it is, after the heal")
    engine.check()
    await engine.close()
    _see_audits(engine)
    engine.finish(keys)


def _see_gone(engine: Engine, keys: Sequence[SessionKey]) -> None:
    """See that no near cache answers for a session that the store no longer has."""
    for process in engine.processes:
        for key in keys:
            if engine.current(key) is None and process.session(key).peek(1) is not None:
                engine.wrong(f"{process.name} still shows {key}, which is gone")


def _see_audits(engine: Engine) -> None:
    """See that no audit found what should not be; of an eviction nobody is told but by an audit."""
    struck = {fault.kind for fault in engine.history.faults}
    explained = {"gone"} if "evict" in struck else set()
    for process in engine.processes:
        for kind in sorted(process.violations.keys() - explained):
            engine.wrong(f"{process.name}: an audit found {kind!r}")


def judge(engine: Engine) -> Verdict:
    """Judge what the clients of a run that has ended saw; anomalies join the engine's."""
    verdict = check_history(engine.history, engine.bound)
    for one in verdict.anomalies:
        engine.wrong(f"{one.kind}: {one.text}")
    return verdict
