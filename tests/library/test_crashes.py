"""
A task in the background crashes, by an exception that nothing expects.

It is told once, counted and begun again; until then nothing stale is answered.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from library.helpers import WAIT_SECONDS, check, heat, said, several, until
from memory_cache import NEWEST, CacheConfig, Session, SessionCache, open_cache
from support.valkey import ValkeyServer
from unit.inside import CALLED_BY_LANE, CALLED_BY_PARTS

CONFIG = CacheConfig(staleness_seconds=0.5, sweep_seconds=0.2)


class Breaking:
    """Makes something raise what nothing expects, for as long as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = True
        self._monkeypatch = monkeypatch

    def break_(self, owner: object, name: str) -> None:
        """Have a function raise instead of doing what it does."""
        real: Callable[..., Any] = getattr(owner, name)

        def broken(*args: object, **kwargs: object) -> object:
            if self.on:
                raise LookupError(name)
            return real(*args, **kwargs)

        async def broken_call(*args: object, **kwargs: object) -> object:
            return await broken(*args, **kwargs)  # type: ignore[misc]  # it is awaitable then

        is_call = inspect.iscoroutinefunction(real)
        self._monkeypatch.setattr(owner, name, broken_call if is_call else broken)


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Breaking:
    """What breaks parts of every cache from now on."""
    return Breaking(monkeypatch)


@pytest.fixture
async def quick(valkey_url: str) -> AsyncIterator[SessionCache]:
    """A cache with a short lease that sweeps often."""
    async with open_cache(valkey_url, config=CONFIG) as cache:
        yield cache


async def crashes_again(cache: SessionCache, kind: str, times: int = 2) -> None:
    """Wait for so many more crashes of a kind."""
    goal = cache.statistics().crashes.get(kind, 0) + times

    async def happened() -> bool:
        return cache.statistics().crashes.get(kind, 0) >= goal

    await until(happened)


async def sees(session: Session, count: int) -> None:
    """Read until there are so many messages; the newest at once."""
    assert (await session.recent(100, consistency=NEWEST)).next == count

    async def seen() -> bool:
        return (await session.recent(100)).next == count

    await until(seen)


@pytest.mark.parametrize("part", CALLED_BY_PARTS)
async def test_part_that_crashes(
    quick: SessionCache,
    chat: Session,
    breaking: Breaking,
    caplog: pytest.LogCaptureFixture,
    part: str,
) -> None:
    """Whichever it is: told once, counted each time, no read is stale, and all is well after."""
    mine = quick.session("chat", namespace="acme", user_id="u7")
    await chat.append(said(0))
    await heat(mine)
    owner, name = CALLED_BY_PARTS[part]
    breaking.break_(owner, name)
    kind = f"{part}: LookupError"
    count = 1
    async with asyncio.timeout(WAIT_SECONDS):
        while quick.statistics().crashes.get(kind, 0) < 2:
            # By another cache, in which the part crashes, too.
            await chat.append(said(count))
            count += 1
            await sees(mine, count)
            await quick.session("none").delete()
    breaking.on = False
    await heat(mine)
    await chat.append(said(count))
    await sees(mine, count + 1)
    await check(mine, several(0, count + 1))
    await heat(mine)
    assert quick.statistics().crashes.keys() == {kind}
    # One for each of the two caches that broke, at most, however often they did.
    assert caplog.text.count("Traceback") <= 2
    assert f"{part} crashed" in caplog.text


async def test_lane_that_crashes(
    quick: SessionCache, breaking: Breaking, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be written ends the connection; callers are told, and the next call connects."""
    mine = quick.session("chat")
    await mine.append(said(0))
    breaking.break_(*CALLED_BY_LANE)
    await crashes_again(quick, "lane: LookupError")
    breaking.on = False
    await mine.append(said(1))
    await check(mine, several(0, 2))
    assert caplog.text.count("lane crashed") == 1


async def test_closing_after_a_crash(
    valkey_url: str, breaking: Breaking, valkey: ValkeyServer
) -> None:
    """A cache whose parts crash closes as any other."""
    assert valkey_url == valkey.url
    async with open_cache(valkey_url, config=CONFIG) as cache:
        breaking.break_(*CALLED_BY_PARTS["sweep"])
        await crashes_again(cache, "sweep: LookupError")
    assert cache.statistics().crashes["sweep: LookupError"] >= 2
