"""
The bus breaks, again and again, and no read is older than T.

The subscription of a reading process runs over a proxy. It is killed by the server, reset, closed
or left silent; before it can return, another process writes and is acknowledged. The reader reads
all the while, and each read is compared with the acknowledgements, by the clock that both share.
"""

import asyncio
import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from redis.asyncio import Redis

from perf.propagation.proxy import Link, Proxy
from perf.propagation.worker import Worker, worker

STALENESS_SECONDS = 0.5
INSIDE = 3
"""Writes acknowledged while the subscription is away, and as many while it returns."""


def _silence(link: Link) -> None:
    link.silent = True


BREAKS: dict[str, Callable[[Link], None] | None] = {
    "killed": None,  # by the server
    "reset": Link.reset,
    "closed": Link.close,
    "silent": _silence,
}


async def under_faults(url: str, faults: int, done: Callable[[int], None]) -> dict[str, Any]:
    """
    Return, by kind of fault, the age of the oldest read and how long the near cache was away.

    Raises:
        RuntimeError: a read was wrong, or a worker did not recover.
    """
    rows: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"faults": 0, "reads": 0, "refused": 0, "oldest_ms": 0.0, "away_ms": []}
    )
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(unquote(url.removeprefix("unix://"))))
        admin = await stack.enter_async_context(Redis.from_url(url, protocol=2))
        writer = await stack.enter_async_context(worker(url, STALENESS_SECONDS))
        reader = await stack.enter_async_context(worker(proxy.url, STALENESS_SECONDS))
        acks = await writer.ask("append", first=0, count=1)
        await reader.ask("warm")
        await reader.ask("keep_reading")
        for number, kind in zip(range(faults), itertools.cycle(BREAKS), strict=False):
            row = rows[kind]
            made = await reader.ask("subscriptions")
            began = time.monotonic()
            link = await _break(proxy, kind, admin)
            for admits in (False, True):
                proxy.admits = admits
                acks += await writer.ask("append", first=len(acks), count=INSIDE)
            await reader.ask("subscribed", more_than=made)
            row["away_ms"].append(round((time.monotonic() - began) * 1e3, 1))
            link.close()
            await _judge(reader, acks, row)
            row["faults"] += 1
            done(number + 1)
        await asyncio.sleep(STALENESS_SECONDS)
        await _judge(reader, acks, row)
    return dict(rows)


async def _break(proxy: Proxy, kind: str, admin: Redis) -> Link:
    """Break the reader's subscription, which cannot return from now on; return what it ran over."""
    link, break_ = proxy.subscription(), BREAKS[kind]
    proxy.admits = False
    if break_ is None:
        await admin.client_kill_filter(_type="pubsub")
    else:
        break_(link)
    return link


async def _judge(reader: Worker, acks: list[tuple[float, float]], row: dict[str, Any]) -> None:
    """Compare the reads since the last time with the writes acknowledged before each began."""
    found = await reader.ask("reads")
    row["reads"] += len(found["reads"])
    row["refused"] += found["refused"]
    for began, next_ in found["reads"]:
        if next_ < len(acks):
            row["oldest_ms"] = max(row["oldest_ms"], round((began - acks[next_][1]) * 1e3, 1))
