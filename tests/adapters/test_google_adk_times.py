import asyncio
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("google.adk")

from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from pydantic import BaseModel

from memory_cache import SessionCache, open_cache
from memory_cache.adapters import _adk_log
from memory_cache.adapters.google_adk import MemoryCacheSessionService
from support.adk_sessions import HERE, event, read
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


@settings(max_examples=25)
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


def test_without_a_place_for_marks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a version of ADK that has no place for marks we say so, and leave sessions alone."""
    assert _adk_log.can_mark(Session)
    assert not caplog.records
    assert not _adk_log.can_mark(BaseModel)
    assert "google-adk" in caplog.text
    monkeypatch.setattr(_adk_log, "_MARKS", False)
    session = Session(id="s", app_name="app", user_id="u")
    assert _adk_log.seen_of(_adk_log.mark(session, None, 0)) is None


async def test_appends_without_marks(
    cache: SessionCache, other_cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without marks no event is lost or doubled; one for a session that is behind is added."""
    monkeypatch.setattr(_adk_log, "_MARKS", False)
    one, two = (MemoryCacheSessionService(each) for each in (cache, other_cache))
    mine = await one.create_session(**HERE)
    theirs = await read(two)
    for at in range(4):
        await (one, two)[at % 2].append_event((mine, theirs)[at % 2], event(at, {f"k{at}": at}))
    found = await read(one)
    assert [each.id for each in found.events] == ["e0", "e1", "e2", "e3"]
    assert found.state == {"k0": 0, "k1": 1, "k2": 2, "k3": 3}
