"""
The two hot paths of the library under pytest-benchmark, at three lengths of a session.

    python -m perf micro

Compare numbers of one run only. ``python -m perf.micro.flat`` sets them side by side.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from memory_cache import CacheConfig, Session, open_cache
from perf.micro.flat import APPENDS, appends, fill
from perf.servers import valkey

SIZES = (100, 1_000, 10_000)
READS = 1_000


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all rounds: a cache belongs to its loop."""
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="module")
def chats(runner: asyncio.Runner) -> Iterator[dict[int, Session]]:
    """Hot sessions of every length, over one Valkey."""
    stack = AsyncExitStack()

    async def begin() -> dict[int, Session]:
        url = await stack.enter_async_context(valkey())
        config = CacheConfig(staleness_seconds=600)
        cache = await stack.enter_async_context(open_cache(url, config=config))
        held = {size: cache.session(f"bench-{size}") for size in SIZES}
        for size, chat in held.items():
            await fill(chat, size)
        return held

    try:
        yield runner.run(begin())
    finally:
        runner.run(stack.aclose())


@pytest.mark.benchmark(group="append")
@pytest.mark.parametrize("size", SIZES)
def test_append(
    benchmark: BenchmarkFixture, runner: asyncio.Runner, chats: dict[int, Session], size: int
) -> None:
    """A block's worth of single appends, acknowledged and applied to the ring."""
    benchmark.extra_info |= {"calls": APPENDS, "correct": True}  # or `appends` would have failed
    benchmark.pedantic(  # type: ignore[no-untyped-call] # untyped by its authors
        lambda: runner.run(appends(chats[size])), rounds=10, warmup_rounds=2
    )


@pytest.mark.benchmark(group="hot read")
@pytest.mark.parametrize("size", SIZES)
def test_recent_20_hot(
    benchmark: BenchmarkFixture, runner: asyncio.Runner, chats: dict[int, Session], size: int
) -> None:
    """The last twenty messages as bytes, from the ring."""

    async def read() -> int:
        chat, total = chats[size], 0
        for _ in range(READS):
            total += len((await chat.recent(20)).json)
        return total

    wanted = READS * len(runner.run(chats[size].recent(20)).json)
    found = benchmark.pedantic(  # type: ignore[no-untyped-call] # untyped by its authors
        lambda: runner.run(read()), rounds=10, warmup_rounds=2
    )
    benchmark.extra_info |= {"calls": READS, "correct": found == wanted}
    assert found == wanted
