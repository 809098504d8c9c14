import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from faults.crowd import NEAR
from memory_cache.testing.faults.crew import Member, hired
from memory_cache.testing.faults.store import Store

WORKERS = 2
SESSIONS = 5000
READERS = 100
"""Clients of one worker."""

BEFORE_SECONDS = 2.0
AFTER_SECONDS = 7.0
PATIENCE_SECONDS = 60.0
RECOVERY_SECONDS = 5.0
STORE_READS = 2.5
"""Of a session, on the mean."""

COMMAND = [sys.executable, "-P", str(Path(__file__).with_name("crowd.py"))]
CONFIG = {"staleness_seconds": 1.0}


async def call(members: list[Member], op: str, **more: object) -> list[dict[str, Any]]:
    """What all workers answer."""
    request = {"op": op, "sessions": SESSIONS, **more}
    return await asyncio.gather(*(member.call(request, PATIENCE_SECONDS) for member in members))


@pytest.mark.slow
async def test_thundering_herd(tmp_path: Path) -> None:
    """
    200 clients of 5,000 hot sessions meet a store that is back: one fill a session and worker.

    Though the clients never rest, the store is not asked again and again for what it answered.
    """
    async with (
        Store.running(tmp_path / "store") as store,
        hired(WORKERS, store.port, tmp_path, COMMAND, CONFIG) as members,
    ):
        await call(members[:1], "make")
        await call(members, "warm")
        await call(members, "crowd", readers=READERS)
        await asyncio.sleep(BEFORE_SECONDS)
        await store.kill()
        for member in members:
            while (await call([member], "statistics"))[0]["connected"]:  # noqa: ASYNC110  nobody signals it
                await asyncio.sleep(0.01)
        before = await call(members, "statistics")
        await store.start()
        healed = time.monotonic()
        await asyncio.sleep(AFTER_SECONDS)
        after = await call(members, "statistics")
        told = [answer["reads"] for answer in await call(members, "told")]
    for was, now, reads in zip(before, after, told, strict=True):
        assert now["suspects"].keys() <= {"lost"}
        assert now["generations"] - was["generations"] <= 2
        fills = now["fills"] - was["fills"]
        assert 0 < fills <= SESSIONS
        since = [(sent, answer) for sent, _, answer in reads if sent >= healed]
        answers = [answer for _, answer in since]
        # The first read of a session opens its channel, the second fills it; a few came between.
        assert answers.count("store") <= STORE_READS * SESSIONS
        assert answers.count(NEAR) > 0
        failed = [sent - healed for sent, answer in since if answer not in {NEAR, "store"}]
        assert max(failed, default=0.0) < RECOVERY_SECONDS
