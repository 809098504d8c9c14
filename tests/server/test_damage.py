"""
Damage, told: every field of a session's record in every way it can be wrong, on every way in.

Whatever is asked of a damaged session is answered with the error `damaged`, and then nothing was
written; or it is answered as if the session were sound. Which of the two is up to what an answer
needs; some must tell.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import redis

from library.helpers import heat
from memory_cache import (
    DamagedSessionError,
    Header,
    Page,
    Session,
    SessionCache,
    open_cache,
)
from memory_cache_server.putting import Put
from support.damaging import Case, Record, cases
from support.in_process import serving
from support.valkey import ValkeyServer

DAMAGED = "damaged"
VOLATILE = frozenset(
    {"session_id", "version", "updated_at", "created_at", "last_accessed", "expires_at", "name"}
)
"""What another session of the same content answers differently."""

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def said(at: int, **changes: object) -> dict[str, Any]:
    """A message as answers give it; the contract's view of itself."""
    return {
        "role": "user",
        "content": f"message {at} \u00e9",
        "id": f"id-{at}",
        "created_at": (BEGAN + timedelta(seconds=at)).isoformat().replace("+00:00", "Z"),
        "persisted_at": None,
        "discrete_memory_extracted": "f",
        **changes,
    }


def several(start: int, end: int) -> list[dict[str, Any]]:
    """Messages as answers give them."""
    return [said(at) for at in range(start, end)]


@dataclass(frozen=True)
class World:
    """The server, the library, the store, and what a sound session holds."""

    http: httpx.AsyncClient
    cache: SessionCache
    admin: redis.Redis
    first: int
    next: int

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the session holds."""
        return several(self.first, self.next)

    async def get(self, path: str, **query: object) -> object:
        """What a GET answers."""
        return _answer(await self.http.get(path, params=query))  # type: ignore[arg-type] # plain

    async def put(self, name: str, messages: list[dict[str, Any]], **style: Any) -> object:  # noqa: ANN401
        """What a PUT answers."""
        return _answer(await put(self.http, name, messages, **style))

    async def post(self, name: str, messages: list[dict[str, Any]]) -> object:
        """What an append answers."""
        path = f"{_path(name)}/messages"
        return _answer(await self.http.post(path, json={"messages": messages}))


def _nameless(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "id"}


Ask = Callable[[World, str], Awaitable[object]]


def _path(name: str) -> str:
    return f"/v1/working-memory/{name}"


async def put(
    http: httpx.AsyncClient,
    name: str,
    messages: list[dict[str, Any]],
    **style: Any,  # noqa: ANN401
) -> httpx.Response:
    """PUT messages, written compactly unless told otherwise."""
    style = {"separators": (",", ":")} | style
    body = json.dumps({"messages": messages, "context": "c"}, ensure_ascii=False, **style)
    headers = {"content-type": "application/json"}
    return await http.put(_path(name), content=body, headers=headers)


def _answer(response: httpx.Response) -> object:
    """What was answered: `damaged`, or the document without what differs each time."""
    document = response.json()
    if response.status_code == 500:
        assert document["code"] == DAMAGED, document
        assert document.get("applied", "no") == "no"
        return DAMAGED
    assert response.status_code == 200, document
    return {name: value for name, value in document.items() if name not in VOLATILE}


def library(ask: Callable[[Session], Awaitable[object]]) -> Ask:
    """An entry point of the library."""

    async def asked(world: World, name: str) -> object:
        try:
            return await ask(world.cache.session(name))
        except DamagedSessionError:
            return DAMAGED

    return asked


def page(ask: Callable[[Session], Awaitable[Page]]) -> Ask:
    """A read of the library: messages in both forms, fields, places."""

    async def asked(session: Session) -> object:
        found = await ask(session)
        return found.messages, found.view_json, found.fields, found.start, found.end

    return library(asked)


async def _iterated(session: Session) -> object:
    return [message async for message in session]


async def _followed(session: Session) -> object:
    events = session.events(patience_seconds=1)
    try:
        return (await anext(events)).kind
    finally:
        await events.aclose()


def _followed_from(first: int) -> Callable[[Session], Awaitable[object]]:
    async def asked(session: Session) -> object:
        head = await session.recent(0)
        assert head.header is not None
        events = session.events(after=f"{head.version}/{head.header.edits}/{first}")
        try:
            return [(await anext(events)).json for _ in range(2)]
        finally:
            await events.aclose()

    return asked


async def _deleted(world: World, name: str) -> object:
    answer = _answer(await world.http.delete(_path(name)))
    assert not world.admin.exists(_key(name))
    return answer


async def _prompt(world: World, name: str) -> object:
    body = {"query": "?", "session": {"session_id": name}}
    return _answer(await world.http.post("/v1/memory/prompt", json=body))


async def _patched(world: World, name: str) -> object:
    return _answer(await world.http.patch(_path(name), json={"context": "new"}))


async def _inspected(world: World, name: str) -> object:
    path = "/inspect/data/session"
    return await world.get(path, session_id=name, after=world.first - 1, limit=1000)


READS: dict[str, Ask] = {
    "GET 3": lambda w, name: w.get(_path(name), recent_messages_limit=3),
    "GET 1000": lambda w, name: w.get(_path(name), recent_messages_limit=1000),
    "GET": lambda w, name: w.get(_path(name)),
    "GET for a model": lambda w, name: w.get(_path(name), context_window_max=200),
    "prompt": _prompt,
    "page": lambda w, name: w.get(f"{_path(name)}/messages", limit=2),
    "first page": lambda w, name: w.get(f"{_path(name)}/messages", after=w.first - 1, limit=2),
    "page before": lambda w, name: w.get(f"{_path(name)}/messages", before=w.next, limit=1000),
    "inspector": _inspected,
}
PUTS: dict[str, Ask] = {
    "PUT again": lambda w, name: w.put(name, w.messages),
    "PUT grown": lambda w, name: w.put(name, [*w.messages, said(w.next)]),
    "PUT in another style": lambda w, name: w.put(name, [*w.messages, said(w.next)], indent=1),
    "PUT without ids": lambda w, name: w.put(name, [_nameless(m) for m in w.messages]),
    "PUT shorter": lambda w, name: w.put(name, w.messages[:-1]),
    "PUT edited": lambda w, name: w.put(name, [said(w.first, content="edited"), *w.messages[1:]]),
    "PUT without its head": lambda w, name: w.put(name, w.messages[2:]),
    "PUT another": lambda w, name: w.put(name, several(1000, 1003)),
}
CHANGES: dict[str, Ask] = {
    "POST": lambda w, name: w.post(name, [said(w.next)]),
    "POST 70": lambda w, name: w.post(name, several(w.next, w.next + 70)),
    "PATCH": _patched,
    "DELETE": _deleted,
}
LIBRARY: dict[str, Ask] = {
    "recent": page(lambda session: session.recent(3)),
    "transcript": page(lambda session: session.transcript()),
    "window": page(lambda session: session.window(30)),
    "iteration": library(_iterated),
    "pop": library(lambda session: session.pop()),
    "set_fields": library(lambda session: _done(session.set_fields({"context": "new"}))),
    "append": library(lambda session: _done(session.append({"n": 1}))),
    "replace": library(lambda session: _done(session.replace([{"n": 1}]))),
    "events": library(_followed),
    "events from the first": lambda w, name: library(_followed_from(w.first))(w, name),
}

HEADER = frozenset({"h", "h far"})
TAIL = HEADER | {"h end", "f", "m", "tail", "tail lines"}
ALL = TAIL | {"sealed", "sealed lines"}
WHOLE = ALL - {"sealed lines"} | {"size", "sealed d"}
MUST: dict[str, frozenset[str]] = {
    "GET 3": TAIL,
    "GET 1000": ALL | {"size"},
    "GET": WHOLE,
    "inspector": ALL | {"size"},
    "page": TAIL,
    "first page": HEADER | {"f"},
    "recent": TAIL,
    "transcript": WHOLE,
    "iteration": ALL | {"sealed d"},
    "PUT another": TAIL,
    "PUT in another style": TAIL | {"sealed d"},
    "POST": HEADER | {"h end", "w", "tail head"},
    "append": HEADER | {"h end", "w", "tail head"},
    "PATCH": HEADER | {"h end", "f", "w"},
    "set_fields": HEADER | {"h end", "f", "w"},
    "pop": TAIL | {"w"},
    "replace": frozenset({"h"}),
    "events": TAIL,
}
"""What each way must tell of a session that was not held before."""

BELIEVES = {("first page", "h end")}
"""Ways that answer by a header that is right in itself, and do not come to its end."""


async def _done(change: Awaitable[Any]) -> object:
    made = await change
    return made.start, made.end


def _key(name: str) -> str:
    return f"mc:{{//{name}}}"


@asynccontextmanager
async def world(url: str, server: ValkeyServer, first: int, next_: int) -> AsyncIterator[World]:
    """A world with one sound session `sound`, that clients of the contract made in two turns."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(serving(url, inspect=True))
        cache = await stack.enter_async_context(open_cache(url))
        admin = stack.enter_context(server.admin)
        if first:
            await put(http, "sound", several(0, next_ - 2))
        for end in (next_ - 1, next_):
            assert (await put(http, "sound", several(first, end))).is_success
        made = World(http, cache, admin, first, next_)
        header = Header.parse(record_of(admin, "sound")["h"])
        assert (header.first, header.next) == (first, next_)
        yield made


def record_of(admin: redis.Redis, name: str) -> Record:
    """The fields of a record."""
    return {
        _bytes(field).decode(): _bytes(value) for field, value in admin.hgetall(_key(name)).items()
    }


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


@pytest.mark.parametrize(
    ("first", "next_", "hot"),
    [
        (0, 5, False),
        (0, 200, False),
        (70, 214, False),
        pytest.param(0, 128, False, marks=pytest.mark.slow),
        (0, 5, True),
        pytest.param(0, 200, True, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "ways", [READS, PUTS, CHANGES, LIBRARY], ids=["GET", "PUT", "change", "library"]
)
async def test_every_damage_on_every_way(
    valkey: ValkeyServer,
    valkey_url: str,
    puts: list[Put | None],
    *,
    ways: dict[str, Ask],
    first: int,
    next_: int,
    hot: bool,
) -> None:
    """It is `damaged`, and nothing was written; or it is what a sound session answers."""
    faults: list[str] = []
    async with world(valkey_url, valkey, first, next_) as here:
        dump = here.admin.dump(_key("sound"))
        assert isinstance(dump, bytes)
        every = list(cases(record_of(here.admin, "sound")))
        for at, (way, ask) in enumerate(ways.items()):
            name = f"w{at}"
            here.admin.restore(_key(name), 0, dump)
            want = await ask(here, name)
            assert want != DAMAGED, way
            for number, case in enumerate(every):
                name = f"w{at}-{number}"
                fault = await _tried(here, ask, dump, name, case, want, hot=hot)
                must = not hot and case.part in MUST.get(way, ())
                if fault == "" and must:
                    fault = "not told"
                if fault not in {"", DAMAGED} and (way, case.part) not in BELIEVES:
                    faults.append(f"{way}: {case.field} {case.name} ({case.part}): {fault}")
        assert ways is not PUTS or any(puts[2:]), "the short way was taken, too"
        sound = record_of(here.admin, "sound")
    assert not faults, "\n".join(faults)
    assert Header.parse(sound["h"]).next == next_, "the sound session is as it was"


async def _tried(  # noqa: PLR0917  # one place calls it
    here: World, ask: Ask, dump: bytes, name: str, case: Case, want: object, *, hot: bool
) -> str:
    """What came of one way to a damaged copy: `damaged`, nothing for the right answer, a fault."""
    here.admin.restore(_key(name), 0, dump)
    if hot:
        await heat(here.cache.session(name))
        await here.http.get(_path(name), params={"recent_messages_limit": 50})
        await here.http.get(_path(name), params={"recent_messages_limit": 50})
    if case.value is None:
        here.admin.hdel(_key(name), case.field)
    else:
        here.admin.hset(_key(name), case.field, case.value)
    before = record_of(here.admin, name)
    try:
        got = await ask(here, name)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the finding
        return f"{type(error).__name__}: {str(error)[:300]}"
    if got == DAMAGED:
        return DAMAGED if record_of(here.admin, name) == before else "written"
    here.admin.delete(_key(name))
    return "" if got == want else f"another answer: {str(got)[:200]}"


async def test_delete_of_what_cannot_be_read_ends_there(
    valkey: ValkeyServer, valkey_url: str
) -> None:
    """It is deleted, and no other session that has its id in another scope."""
    async with serving(valkey_url) as http:
        await put(http, "s", several(0, 1))
        other = {"namespace": "other"}
        path = f"{_path('s')}/messages"
        await http.post(path, params=other, json={"messages": several(0, 1)})
        with valkey.admin as admin:
            admin.hset(_key("s"), "h", "garbage")
        assert (await http.delete(_path("s"))).is_success
        assert (await http.get(_path("s"), params=other)).is_success
