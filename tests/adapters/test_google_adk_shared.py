import pytest

pytest.importorskip("google.adk")

from memory_cache import SessionCache
from memory_cache.adapters.google_adk import MemoryCacheSessionService
from support.adk_sessions import HERE, event, read


async def test_time_to_live(cache: SessionCache) -> None:
    """What is made and what is appended lives as long as was said, the shared state longer."""
    service = MemoryCacheSessionService(cache, ttl_seconds=60)
    chat = cache.session("s", namespace="app", user_id="u")
    session = await service.create_session(**HERE)
    assert (await chat.recent(0)).ttl_seconds == 60
    await chat.set_fields({}, ttl_seconds=None)
    await service.append_event(session, event(1, {"app:a": 1, "user:b": 2}))
    app = cache.session("app:app", namespace="adk-state")
    user = cache.session("user:app", namespace="adk-state", user_id="u")
    assert [(await each.recent(0)).ttl_seconds for each in (chat, app, user)] == [60, 120, 120]


async def remaining(cache: SessionCache, session_id: str, user_id: str) -> float:
    """Seconds that a holder of shared state has to live."""
    left = await cache.session(session_id, namespace="adk-state", user_id=user_id).expires_in()
    assert left is not None
    return left


@pytest.mark.parametrize("way", ["append", "get", "create"])
async def test_shared_state_of_a_session_in_use(
    cache: SessionCache, other_cache: SessionCache, way: str
) -> None:
    """The state of app and user is not near its end while a session that shows it is used."""
    service = MemoryCacheSessionService(cache, ttl_seconds=1000)
    session = await service.create_session(**HERE, state={"app:a": 1, "user:b": 2})
    holders = (("app:app", ""), ("user:app", "u"))
    for name, user in holders:  # as if most of its time were over
        holder = cache.session(name, namespace="adk-state", user_id=user)
        await holder.set_fields({}, ttl_seconds=5)
    later = MemoryCacheSessionService(other_cache, ttl_seconds=1000)
    if way == "append":
        await later.append_event(session, event(1))
    elif way == "get":
        assert (await read(later)).state == {"app:a": 1, "user:b": 2}
    else:
        await later.create_session(app_name="app", user_id="u")
    assert min([await remaining(cache, *holder) for holder in holders]) > 1000


async def test_shared_state_is_renewed_in_time(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One service renews it when half of a session's time is over, and not at each append."""
    now = 0.0
    monkeypatch.setattr("memory_cache.adapters._adk_shared.SystemClock.now", lambda _: now)
    service = MemoryCacheSessionService(cache, ttl_seconds=1000)
    session = await service.create_session(**HERE, state={"user:b": 2})
    holder = cache.session("user:app", namespace="adk-state", user_id="u")
    renewed = []
    for at in range(10):
        now += 100.0
        before = (await holder.recent(0)).version
        await service.append_event(session, event(at))
        renewed.append((await holder.recent(0)).version != before)
    assert renewed == [at == 5 for at in range(10)]


async def test_shared_state_of_services_with_other_times(cache: SessionCache) -> None:
    """A longer time to live holds, and where one service names none, there is none."""
    long, short, none = [
        MemoryCacheSessionService(cache, ttl_seconds=each) for each in (1000, 100, None)
    ]
    holder = cache.session("user:app", namespace="adk-state", user_id="u")
    session = await short.create_session(**HERE, state={"user:b": 2})
    for service, want in ((short, 200), (long, 2000), (short, 2000), (none, None), (short, None)):
        session = await read(service)
        await service.append_event(session, event(1, {"user:c": want}))
        assert (await holder.recent(0)).ttl_seconds == want
    assert await short.get_user_state(app_name="app", user_id="u") == {"b": 2, "c": None}
