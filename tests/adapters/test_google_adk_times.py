import asyncio
import os
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

pytest.importorskip("google.adk")

from google.adk.sessions.base_session_service import GetSessionConfig

from memory_cache import SessionCache, open_cache
from memory_cache.adapters.google_adk import MemoryCacheSessionService
from support.adk_sessions import HERE, event, read
from support.project import ROOT
from support.valkey import ValkeyServer


async def test_events_since_a_time(cache: SessionCache) -> None:
    """Events since a time are chosen by their times, in whatever order they were appended."""
    service = MemoryCacheSessionService(cache)
    session = await service.create_session(**HERE)
    for at in (100, 300, 200, 400):
        await service.append_event(session, event(at))

    async def since(**config: Any) -> list[float]:  # noqa: ANN401
        return [each.timestamp for each in (await read(service, **config)).events]

    assert await since(after_timestamp=250) == [300, 400]
    assert await since(after_timestamp=200) == [300, 200, 400]
    assert await since(after_timestamp=150, num_recent_events=2) == [200, 400]
    assert await since(after_timestamp=500) == []
    assert await since(after_timestamp=100, num_recent_events=0) == []


@st.composite
def jumping(draw: st.DrawFn) -> list[int]:
    """Many times that go up by and by, with some that are far back or ahead."""
    random, often = draw(st.randoms(use_true_random=False)), draw(st.sampled_from([2, 10, 99]))
    count = draw(st.integers(0, 100))
    return [at // 4 if random.randrange(often) else random.randrange(30) for at in range(count)]


EARLY = [9, 9, 29, *range(10, 28), *[20] * 70]
"""After the third event, of a late time, there are many of earlier times."""


@settings(max_examples=25, phases=(Phase.explicit, Phase.generate))  # each example takes long
@example(EARLY, 28, None, False)
@example(EARLY, 28, None, True)
@example(EARLY, 30, None, True)
@given(
    jumping(),
    st.integers(0, 32),
    st.none() | st.integers(0, 40),
    st.booleans(),
)
def test_events_since_a_time_in_any_order(
    valkey: ValkeyServer, times: list[int], after: int, count: int | None, forget: bool
) -> None:
    """Among many events, too, some of them far back, and in a session of an older version."""

    async def check() -> None:
        async with open_cache(valkey.url) as cache:
            name = uuid4().hex
            service = MemoryCacheSessionService(cache)
            session = await service.create_session(app_name=name, user_id="u", session_id="s")
            for at, time in enumerate(times):
                one = event(at).model_copy(update={"timestamp": float(time)})
                await service.append_event(session, one)
            if forget:
                chat = cache.session("s", namespace=name, user_id="u")
                await chat.set_fields({"latest": None, "overtaken": None})
            config = GetSessionConfig(after_timestamp=float(after), num_recent_events=count)
            found = await service.get_session(
                app_name=name, user_id="u", session_id="s", config=config
            )
            assert found is not None
            want = [each for each in times if each >= after]
            want = want if count is None else want[len(want) - min(count, len(want)) :]
            assert [each.timestamp for each in found.events] == want

    asyncio.run(check())


WITHOUT_MARKS = """
import asyncio
import sys

from google.adk.sessions import Session

Session.__private_attributes__.pop("_storage_update_marker")

from memory_cache import open_cache
from memory_cache.adapters.google_adk import MemoryCacheSessionService
from support.adk_sessions import HERE, event, read


async def main():
    async with open_cache(sys.argv[1]) as cache, open_cache(sys.argv[1]) as other:
        one, two = MemoryCacheSessionService(cache), MemoryCacheSessionService(other)
        mine = await one.create_session(**HERE)
        theirs = await read(two)
        for at in range(4):
            given = event(at, {f"k{at}": at})
            await (one, two)[at % 2].append_event((mine, theirs)[at % 2], given)
        found = await read(one)
        print([each.id for each in found.events], found.state)


asyncio.run(main())
"""


def test_without_a_place_for_marks(valkey_url: str) -> None:
    """With a version of ADK that has none we say so; no event is lost, none called stale."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MARKS, valkey_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
    )
    want = "['e0', 'e1', 'e2', 'e3'] {'k0': 0, 'k1': 1, 'k2': 2, 'k3': 3}"
    assert done.stdout.strip() == want, done.stderr
    assert done.stderr.count("this version of google-adk has no Session") == 1
