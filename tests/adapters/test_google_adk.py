import asyncio
import time
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("google.adk")

from google.adk.agents import BaseAgent
from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event, EventActions
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from memory_cache import InvalidNameError, SessionCache, open_cache
from memory_cache.adapters.google_adk import MemoryCacheSessionService
from support.adk_sessions import HERE, event, read
from support.valkey import ValkeyServer


async def test_scopes(cache: SessionCache, other_cache: SessionCache) -> None:
    """State is shared by app and by user, null is a value, and `temp:` is never stored."""
    service = MemoryCacheSessionService(cache)
    session = await service.create_session(**HERE, state={"a": 1, "app:b": 2, "user:c": 3})
    delta = {"a": None, "app:d": [None], "user:c": None, "temp:t": 1}
    await service.append_event(session, event(1, delta))
    assert session.state["temp:t"] == 1
    other = MemoryCacheSessionService(other_cache)
    found = await read(other)
    want = {"a": None, "app:b": 2, "app:d": [None], "user:c": None}
    assert found.state == want
    assert found.events == [event(1, {k: v for k, v in delta.items() if k != "temp:t"})]
    second = await other.create_session(app_name="app", user_id="v")
    assert second.state == {"app:b": 2, "app:d": [None]}
    assert await other.get_user_state(app_name="app", user_id="u") == {"c": None}
    kept = await cache.session("s", namespace="app", user_id="u").transcript()
    assert b"temp:t" not in kept.json + kept.fields_json


async def test_long_session(cache: SessionCache, other_cache: SessionCache) -> None:
    """The state after each of many events is that of all before it, whatever part is read."""
    service, other = (MemoryCacheSessionService(each) for each in (cache, other_cache))
    session = await service.create_session(**HERE)
    for at in range(150):
        await service.append_event(session, event(at, {f"k{at % 40}": at}))
        if at % 9 == 0:
            assert (await read(other, num_recent_events=2)).state == session.state
    assert await read(other) == session
    kept = await other_cache.session("s", namespace="app", user_id="u").recent(0)
    assert kept.fields["state_seq"] >= 150 - 32
    assert [each.id for each in (await read(other, num_recent_events=3)).events] == [
        "e147",
        "e148",
        "e149",
    ]
    late = await read(other, after_timestamp=20.0)
    assert (len(late.events), late.events[0].id) == (130, "e20")


async def test_stale(cache: SessionCache, other_cache: SessionCache) -> None:
    """An append to what others have added to is refused and changes nothing, and never else."""
    one, two = (MemoryCacheSessionService(each) for each in (cache, other_cache))
    mine = await one.create_session(**HERE)
    for at in range(70):
        await one.append_event(mine, event(at))
    theirs = await read(two, num_recent_events=0)
    await two.append_event(theirs, event(70))
    with pytest.raises(StaleSessionError):
        await one.append_event(mine, event(71, {"temp:x": 1, "user:y": 1}))
    assert "temp:x" not in mine.state
    assert len(mine.events) == 70
    assert await one.get_user_state(app_name="app", user_id="u") == {}
    lenient = MemoryCacheSessionService(cache, refuse_stale=False)
    await lenient.append_event(mine, event(72))
    assert [each.id for each in (await read(one)).events[-2:]] == ["e70", "e72"]


async def test_concurrent_appends(cache: SessionCache, other_cache: SessionCache) -> None:
    """Of two workers that append at once no event and no change of state is lost."""
    services = [
        MemoryCacheSessionService(each, refuse_stale=False) for each in (cache, other_cache)
    ]
    await services[0].create_session(**HERE)
    views = [await read(service) for service in services]
    await asyncio.gather(
        *(
            services[at % 2].append_event(views[at % 2], event(at, {f"k{at}": at, f"app:k{at}": 1}))
            for at in range(100)
        )
    )
    for service in services:
        found = await read(service)
        assert sorted(each.id for each in found.events) == sorted(f"e{at}" for at in range(100))
        assert {f"k{at}" for at in range(100)} < found.state.keys()
        assert len(found.state) == 200


async def test_refusals(cache: SessionCache) -> None:
    """A second session of an id, one that was never made, and the state's own name are refused."""
    service = MemoryCacheSessionService(cache)
    made = await service.create_session(**HERE)
    with pytest.raises(AlreadyExistsError):
        await service.create_session(**{**HERE, "session_id": " s "}, state={"user:a": 1})
    assert await service.get_user_state(app_name="app", user_id="u") == {}
    await service.delete_session(**HERE)
    with pytest.raises(SessionNotFoundError):
        await service.append_event(made, event(1))
    with pytest.raises(SessionNotFoundError):
        await service.append_event(Session(id="x", app_name="app", user_id="u"), event(1))
    with pytest.raises(InvalidNameError):
        await service.create_session(app_name="adk-state", user_id="u")
    assert await service.get_session(**HERE) is None


async def test_list_order(cache: SessionCache) -> None:
    """Sessions are listed by their last update; for one without events that is when it was made."""
    service = MemoryCacheSessionService(cache)
    made = [
        await service.create_session(app_name="app", user_id="u", session_id=each)
        for each in ("c", "a", "b")
    ]
    assert made[0].last_update_time <= made[1].last_update_time <= made[2].last_update_time
    await service.append_event(made[1], event(1).model_copy(update={"timestamp": 9e9}))
    listed = (await service.list_sessions(app_name="app")).sessions
    assert [each.id for each in listed] == ["c", "b", "a"]
    assert [each.last_update_time for each in listed] == [
        made[0].last_update_time,
        made[2].last_update_time,
        9e9,
    ]


async def test_answer_that_was_lost(cache: SessionCache) -> None:
    """Appended again because the answer was lost, an event is there once, and in the session."""
    service = MemoryCacheSessionService(cache)
    session = await service.create_session(**HERE)
    unaware = session.model_copy(deep=True)
    for each in (session, unaware):
        await service.append_event(each, event(1, {"k": 1, "user:k": 2}))
    assert unaware == session == await read(service)
    await service.append_event(unaware, event(2))
    assert [each.id for each in (await read(service)).events] == ["e1", "e2"]


async def test_foreign_session(cache: SessionCache) -> None:
    """A session that was not made by ADK is none of ADK's."""
    await cache.session("s", namespace="app", user_id="u").append({"role": "user"})
    service = MemoryCacheSessionService(cache)
    assert await service.get_session(**HERE) is None
    assert (await service.list_sessions(app_name="app")).sessions == []


async def test_one_session_object(cache: SessionCache) -> None:
    """Appends at once with the same `Session`, as of parallel agents, are never called stale."""
    service = MemoryCacheSessionService(cache)
    session = await service.create_session(**HERE)
    await asyncio.gather(*(service.append_event(session, event(at)) for at in range(70)))
    assert await read(service) == session


async def test_loops_of_their_own(valkey_url: str) -> None:
    """Threads with event loops of their own may append to one session at once."""
    service = MemoryCacheSessionService(valkey_url, refuse_stale=False)
    await service.create_session(**HERE)

    async def several(start: int) -> None:
        async with asyncio.timeout(60):
            session = await read(service)
            events = (event(start + at) for at in range(10))
            await asyncio.gather(*(service.append_event(session, each) for each in events))

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, several(10 * n)) for n in range(6)))
    assert len((await read(service)).events) == 60
    await service.close()


async def test_same_id(cache: SessionCache) -> None:
    """An event that is delivered again is not added again; another one with its id is."""
    service = MemoryCacheSessionService(cache)
    session = await service.create_session(**HERE)
    for delta in ({"k": 1}, {"k": 2}, {"k": 1}):
        await service.append_event(session, event(1, delta))
    assert await read(service) == session
    assert [each.actions.state_delta for each in session.events] == [{"k": 1}, {"k": 2}]


class Echo(BaseAgent):
    """Answers every turn with how many events it has seen, and keeps that in the state."""

    async def _run_async_impl(self, ctx: Any) -> Any:  # noqa: ANN401  theirs
        seen = len(ctx.session.events)
        yield Event(
            author=self.name,
            invocation_id=ctx.invocation_id,
            content=types.Content(role="model", parts=[types.Part(text=str(seen))]),
            actions=EventActions(state_delta={"seen": seen, "user:seen": seen}),
        )


async def test_runner(valkey_url: str) -> None:
    """ADK's own runner goes on with a conversation on another worker."""
    said: list[int] = []
    for _ in range(2):
        service = MemoryCacheSessionService.from_url(valkey_url)
        runner = Runner(agent=Echo(name="echo"), app_name="app", session_service=service)
        if await service.get_session(**HERE) is None:
            await service.create_session(**HERE)
        turn = types.Content(role="user", parts=[types.Part(text="hi")])
        async for each in runner.run_async(user_id="u", session_id="s", new_message=turn):
            assert each.content is not None
            assert each.content.parts is not None
            said.append(int(each.content.parts[0].text or ""))
        assert (await read(service)).state == {"seen": said[-1], "user:seen": said[-1]}
        await service.close()
    assert said == [1, 3]


def test_runner_that_is_not_awaited(valkey: ValkeyServer, valkey_url: str) -> None:
    """ADK's own runner, called without await, runs a new event loop in a thread for each turn."""
    service = MemoryCacheSessionService.from_url(valkey_url)
    asyncio.run(service.create_session(**HERE))
    runner = Runner(agent=Echo(name="echo"), app_name="app", session_service=service)
    turn = types.Content(role="user", parts=[types.Part(text="hi")])
    for seen in (1, 3, 5):
        assert len([*runner.run(user_id="u", session_id="s", new_message=turn)]) == 1
        assert asyncio.run(read(service)).state["seen"] == seen
    with valkey.admin as client:
        while len(client.client_list()) > 1:  # those that were closed, as they go
            time.sleep(0.01)
    asyncio.run(service.close())


KEYS = st.sampled_from(["a", "b", "app:a", "user:a", "user:b", "temp:a"])
STATE = st.dictionaries(KEYS, st.sampled_from([None, 1, "x", [None], {"y": 1.5}]), max_size=3)
PLACES = st.fixed_dictionaries(
    {
        "app_name": st.sampled_from(["app", "lab"]),
        "user_id": st.sampled_from(["u", "v"]),
        "session_id": st.sampled_from(["s", "t", " s "]),
    }
)
CONFIG = st.builds(
    GetSessionConfig,
    num_recent_events=st.none() | st.integers(0, 60),
    after_timestamp=st.none() | st.integers(0, 60).map(float),
)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), PLACES, STATE),
        st.tuples(st.just("get"), PLACES, CONFIG),
        st.tuples(st.just("append"), PLACES, st.lists(STATE, min_size=1, max_size=50)),
        st.tuples(st.just("partial"), PLACES, STATE),
        st.tuples(st.just("delete"), PLACES, st.none()),
        st.tuples(st.just("list"), PLACES, st.booleans()),
    ),
    max_size=14,
)


@settings(max_examples=100)
@given(OPERATIONS)
def test_as_adk_s_own(valkey: ValkeyServer, operations: list[tuple[str, Any, Any]]) -> None:
    """Whatever is done, every answer is that of ADK's in-memory service."""
    asyncio.run(compare(valkey.url, operations))


async def compare(url: str, operations: list[tuple[str, Any, Any]]) -> None:
    """Do the same to both, and compare every answer."""
    run = uuid4().hex
    async with open_cache(url) as cache:
        ours = MemoryCacheSessionService(cache, refuse_stale=False, state_namespace=run)
        pair = Pair(run, ours, InMemorySessionService())
        made = {("create", *sorted(place.items())): place for _, place, _ in operations}
        for kind, place, value in operations:
            await pair.both(kind, place, value)
        for place in made.values():
            await pair.both("get", place, GetSessionConfig())
            await pair.both("list", place, value=False)


class Pair:
    """Our service and theirs, and the sessions last got of each, held over other operations."""

    def __init__(
        self, run: str, ours: MemoryCacheSessionService, theirs: InMemorySessionService
    ) -> None:
        self.run = run
        self.services = (ours, theirs)
        self.held: dict[str, list[Session]] = {}
        self.clock = 0

    async def both(self, kind: str, place: dict[str, str], value: Any) -> None:  # noqa: ANN401
        """Do it to both; answers and errors must be equal."""
        place = {**place, "app_name": place["app_name"] + self.run}
        name = str(place)
        start = self.clock
        answers = []
        for at in range(2):
            self.clock = start
            try:
                answer = await self.one(at, kind, place, value)
            except (AlreadyExistsError, SessionNotFoundError) as error:
                answer = type(error)
            answers.append(answer)
        assert plain(answers[0]) == plain(answers[1])
        if all(isinstance(answer, Session) for answer in answers):
            self.held[name] = answers

    async def one(self, at: int, kind: str, place: dict[str, str], value: Any) -> Any:  # noqa: ANN401
        """Do it to one of them."""
        service = self.services[at]
        held = self.held.get(str(place))
        match kind:
            case "create":
                return await service.create_session(**place, state=value)
            case "get":
                return await service.get_session(**place, config=value)
            case "delete":
                return await service.delete_session(**place)
            case "list":
                user = place["user_id"] if value else None
                found = await service.list_sessions(app_name=place["app_name"], user_id=user)
                state = await service.get_user_state(
                    app_name=place["app_name"], user_id=place["user_id"]
                )
                return sorted(map(plain, found.sessions), key=str), state
        if held is None:
            return None
        for delta in value if kind == "append" else [value]:
            self.clock += 1
            sent = event(self.clock, dict(delta), partial=kind == "partial")
            for _ in range(1 + self.clock % 2):  # some are delivered twice
                await service.append_event(held[at], sent)
        return held[at]


def plain(answer: Any) -> Any:  # noqa: ANN401
    """What can be compared: a session that has no event yet was made at its own time."""
    if isinstance(answer, Session):
        dumped = answer.model_dump(mode="json")
        if dumped["last_update_time"] > 1e9:
            del dumped["last_update_time"]
        return dumped
    return answer
