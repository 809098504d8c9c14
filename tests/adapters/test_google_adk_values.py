import asyncio
import dataclasses
import decimal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("google.adk")

from google.adk.events import Event, EventActions
from google.adk.sessions import (
    BaseSessionService,
    DatabaseSessionService,
    InMemorySessionService,
    Session,
)
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

from memory_cache import CacheConfig, InvalidInputError, SessionCache, TooLargeError, open_cache
from memory_cache.adapters.google_adk import MemoryCacheSessionService
from support.valkey import ValkeyServer
from support.values import CARRIED, JSON, LONG, TEXT, exact, nested

HERE: dict[str, Any] = {"app_name": "app", "user_id": "u", "session_id": "s"}
IMAGE = bytes(range(250)) * 3600


def call(args: Any = None) -> Event:  # noqa: ANN401  # any value
    """A model's call of a tool."""
    made = types.FunctionCall(id="c", name="f", args={"a": args})
    return event([types.Part(function_call=made)])


def result(value: Any, delta: dict[str, Any] | None = None, *more: types.Part) -> Event:  # noqa: ANN401  # any value
    """What a tool gave."""
    made = types.FunctionResponse(id="c", name="f", response={"r": value})
    return event([types.Part(function_response=made), *more], delta)


def event(parts: list[types.Part], delta: dict[str, Any] | None = None) -> Event:
    """An event at a time that is always the same."""
    content = types.Content(role="user", parts=parts)
    return Event(
        author="f", timestamp=9.0, content=content, actions=EventActions(state_delta=delta or {})
    )


def shown(session: Session | None) -> dict[str, Any]:
    """All that a session shows; a caller compares its values exactly."""
    assert session is not None
    return {"state": session.state, "events": [each.model_dump() for each in session.events]}


async def read(service: BaseSessionService) -> Session:
    """The session, which must exist."""
    session = await service.get_session(**HERE)
    assert session is not None
    return session


def response(of: Event) -> dict[str, Any]:
    """The first result of a tool in an event."""
    return of.get_function_responses()[0].response or {}


async def conversation(
    service: BaseSessionService, state: dict[str, Any], sent: list[Event]
) -> dict[str, Any]:
    """What a session shows that was made with a state, and had events appended."""
    session = await service.create_session(**HERE, state=state)
    for each in sent:
        await service.append_event(session, each.model_copy(deep=True))
    return shown(await read(service))


@asynccontextmanager
async def ours(server: ValkeyServer) -> AsyncIterator[MemoryCacheSessionService]:
    """A service over an empty Valkey."""
    with server.admin as client:
        client.flushall()
    async with open_cache(server.url) as cache:
        yield MemoryCacheSessionService(cache)


STATES = st.dictionaries(
    st.builds(str.__add__, st.sampled_from(["", "app:", "user:", 'user:"']), TEXT), JSON, max_size=3
)


@settings(max_examples=60)
@given(STATES, STATES, JSON, st.sampled_from([0, 50, 150]))
def test_as_in_memory(
    valkey: ValkeyServer, state: dict[str, Any], delta: dict[str, Any], value: object, levels: int
) -> None:
    """All that Python's JSON can write comes back as from ADK's in-memory service."""
    deep = nested(levels, value)
    sent = [call(deep), result(deep, delta), result(value, {"last": deep})]

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        async with ours(valkey) as service:
            return (
                await conversation(service, state, sent),
                await conversation(InMemorySessionService(), state, sent),
            )

    mine, theirs = asyncio.run(both())
    assert exact(mine) == exact(theirs)


@dataclasses.dataclass
class Row:
    """A class of an application."""

    n: int


RICH: list[Any] = [
    b"abc",
    datetime(2026, 1, 1, tzinfo=UTC),
    {1, 2},
    (1, None),
    decimal.Decimal("1.50"),
    uuid.UUID(int=7),
    Row(3),
    types.Part(text="x"),
    {1: 2, None: 3, 1.5: 5},
    10**21,
    -(10**21),
    "\u2028 👋 \ud800",
    nested(190),
]


@pytest.mark.parametrize("kind", ["database", "sqlite"])
async def test_as_in_a_database(cache: SessionCache, tmp_path: Path, kind: str) -> None:
    """What ADK's services over SQLite keep of values of many classes comes back the same here."""
    # The latter does not write halves of surrogate pairs, nor read what is nested deeper.
    kept = RICH if kind == "database" else [*RICH[:-2], nested(80)]
    picture = types.Part(inline_data=types.Blob(data=IMAGE, mime_type="image/png"))
    sent = [call(kept), result([IMAGE, LONG], {"long": LONG}, picture)]
    sent.extend(result(each, {"a": each, "user:a": each}) for each in kept)
    keys = ("", "app:", "user:")
    state = {f"{key}{at}": each for at, each in enumerate(kept) for key in keys}
    mine = await conversation(MemoryCacheSessionService(cache), state, sent)
    database: DatabaseSessionService | SqliteSessionService
    if kind == "database":
        database = DatabaseSessionService(f"sqlite+aiosqlite:///{tmp_path}/a.db")
    else:
        database = SqliteSessionService(f"{tmp_path}/b.db")
    try:
        theirs = await conversation(database, state, sent)
    finally:
        await database.close()
    # Events at one time come in another order there.
    for each in (mine, theirs):
        each["events"].sort(key=lambda one: str(one["id"]))
    assert len(mine["events"]) == len(theirs["events"]) == len(sent)
    assert mine["state"] == theirs["state"]
    ids = {each.id: at for at, each in enumerate(sent)}
    for one, other in zip(mine["events"], theirs["events"], strict=True):
        assert one == other, ids[one["id"]]


@pytest.mark.parametrize("value", [print, ValueError("x"), b"abc", b"\xff", float("nan"), object])
async def test_state_at_the_start(cache: SessionCache, value: object) -> None:
    """A state at the start is kept as one that comes with an event is."""
    service = MemoryCacheSessionService(cache)
    keys = ("k", "app:k", "user:k")
    made = await service.create_session(**HERE, state=dict.fromkeys(keys, value))
    session = await service.create_session(app_name="lab", user_id="u")
    await service.append_event(session, result(value, dict.fromkeys(keys, value)))
    found = await service.get_session(app_name="lab", user_id="u", session_id=session.id)
    assert found is not None
    assert exact(found.state) == exact((await read(service)).state) == exact(made.state)
    assert {type(each) for each in found.state.values()} <= {str, float}


@pytest.mark.parametrize("key", ["k", "app:k", "user:k"])
@pytest.mark.parametrize("value", [nested(700), "x" * 2**20])
async def test_nothing_half_made(valkey_url: str, key: str, value: object) -> None:
    """A state that is refused makes no session, and changes no other state."""
    config = CacheConfig(max_large_bytes=2**20, max_message_bytes=2**20, max_fields_bytes=2**20)
    async with open_cache(valkey_url, config=config) as cache:
        service = MemoryCacheSessionService(cache)
        with pytest.raises(InvalidInputError):
            await service.create_session(**HERE, state={key: value})
        assert await service.get_session(**HERE) is None
        assert (await service.create_session(**HERE)).state == {}


@pytest.mark.parametrize("refused", [nested(700), "x" * 2**20])
async def test_refused_result(valkey_url: str, refused: object) -> None:
    """A result that is refused is told, and an event says so in its place: no call is without."""
    config = CacheConfig(max_large_bytes=2**20, max_message_bytes=2**20)
    async with open_cache(valkey_url, config=config) as cache:
        service = MemoryCacheSessionService(cache)
        session = await service.create_session(**HERE)
        await service.append_event(session, call())
        sent = result(refused, {"a": 1, "user:a": 1})
        with pytest.raises(InvalidInputError, match="was added instead"):
            await service.append_event(session, sent)
        found = await read(service)
        assert found == session
        assert found.state == {}
        assert [each.id for each in found.events] == [session.events[0].id, sent.id]
        assert [each.id for each in found.events[1].get_function_responses()] == ["c"]
        assert "could not be stored" in response(found.events[1])["error"]
        await service.append_event(session, result("short"))
        assert response((await read(service)).events[2]) == {"r": "short"}


async def test_refused_state_of_a_result(valkey_url: str) -> None:
    """Where only the user's state is refused, the result is stored; nothing stands in for it."""
    config = CacheConfig(max_large_bytes=2**17, max_message_bytes=2**17, max_fields_bytes=2**17)
    async with open_cache(valkey_url, config=config) as cache:
        service = MemoryCacheSessionService(cache)
        session = await service.create_session(**HERE)
        await service.append_event(session, result(1, {"user:a": "x" * 70_000}))
        with pytest.raises(TooLargeError) as raised:
            await service.append_event(session, result(2, {"user:b": "x" * 70_000}))
        assert "instead" not in str(raised.value)
        found = await read(service)
        assert found.events == session.events
        assert [response(each) for each in found.events] == [{"r": 1}, {"r": 2}]


async def test_refused_event_without_a_result(valkey_url: str) -> None:
    """A refused event that holds no tool's result leaves nothing."""
    config = CacheConfig(max_large_bytes=2**20, max_message_bytes=2**20)
    async with open_cache(valkey_url, config=config) as cache:
        service = MemoryCacheSessionService(cache)
        session = await service.create_session(**HERE)
        with pytest.raises(TooLargeError):
            await service.append_event(session, event([types.Part(text="x" * 2**20)]))
        assert (await read(service)).events == session.events == []


async def test_state_larger_than_its_checkpoint(valkey_url: str) -> None:
    """A state that has become too large for a checkpoint is whole all the same."""
    config = CacheConfig(max_large_bytes=2**17, max_message_bytes=2**17, max_fields_bytes=2**17)
    async with open_cache(valkey_url, config=config) as cache:
        service = MemoryCacheSessionService(cache)
        session = await service.create_session(**HERE)
        for at in range(100):
            await service.append_event(session, result(at, {f"k{at}": f"{at}" * 1000}))
        assert (await read(service)).state == session.state
        found = await service.list_sessions(app_name="app")
        assert found.sessions[0].state == session.state


async def test_state_that_becomes_plain(cache: SessionCache, other_cache: SessionCache) -> None:
    """A state in which there is nothing any more that JSON does not hold is read as it is."""
    service = MemoryCacheSessionService(cache)
    session = await service.create_session(**HERE, state={"n": 10**21})
    for at in range(70):
        await service.append_event(session, result(at, {"n": at}))
        assert (await read(MemoryCacheSessionService(other_cache))).state == {"n": at}


async def test_plain_as_before(cache: SessionCache, other_cache: SessionCache) -> None:
    """Events and states that JSON holds are stored as ever, and the older ones are read."""
    service = MemoryCacheSessionService(cache)
    session = await service.create_session(**HERE, state={"a": None, "user:b": {CARRIED: "1"}})
    sent = result({"n": [1, None], CARRIED: {"a": 1}}, {"c": "1000000000000000000000"})
    await service.append_event(session, sent)
    chat = other_cache.session("s", namespace="app", user_id="u")
    page = await chat.transcript()
    assert page.messages == [sent.model_dump(mode="json", by_alias=True, exclude_none=True)]
    assert {k: page.fields[k] for k in ("state", "state_seq")} == {
        "state": {"a": None},
        "state_seq": 0,
    }
    user = other_cache.session("user:app", namespace="adk-state", user_id="u")
    assert (await user.recent(0)).fields == {"b": [{CARRIED: "1"}]}
    assert shown(await read(MemoryCacheSessionService(other_cache))) == shown(session)


async def test_secrets_are_not_stored(cache: SessionCache) -> None:
    """`secret:` is never stored, as `temp:` is not; the session in the caller's hands has it."""
    service = MemoryCacheSessionService(cache)
    hidden = {"secret:token": "hush", "temp:token": "hush"}
    made = await service.create_session(**HERE, state={"a": 1, **hidden})
    await service.append_event(made, result(1, {"b": 2, **hidden}))
    assert made.state["secret:token"] == "hush"
    found = await read(service)
    assert found.state == {"a": 1, "b": 2}
    assert found.events[0].actions.state_delta == {"b": 2}
    kept = await cache.session("s", namespace="app", user_id="u").transcript()
    assert b"hush" not in kept.json + kept.fields_json


async def test_secrets_that_an_older_version_stored(cache: SessionCache) -> None:
    """A secret that was stored before is not shown any more."""
    service = MemoryCacheSessionService(cache)
    made = await service.create_session(**HERE)
    await service.append_event(made, result(1))
    chat = cache.session("s", namespace="app", user_id="u")
    await chat.set_fields({"state": {"secret:a": "hush", "b": 1}})
    assert (await read(service)).state == {"b": 1}
