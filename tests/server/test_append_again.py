"""An append that is sent again: what is acknowledged is stored, whatever happened in between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from memory_cache import open_cache
from support.in_process import MESSAGES, SESSION, contents, message, serving

TURN = [message("a", id="1"), message("b", id="2")]
BEFORE = [message("said before", id="0")]

Between = Callable[[httpx.AsyncClient, str], Awaitable[object]]


@pytest.fixture
async def workers(valkey_url: str) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Two workers over an empty store."""
    async with serving(valkey_url) as one, serving(valkey_url) as other:
        yield one, other


async def post(
    http: httpx.AsyncClient, messages: list[dict[str, Any]], **headers: str
) -> httpx.Response:
    """Append messages."""
    response = await http.post(MESSAGES, json={"messages": messages}, headers=headers)
    assert response.status_code == 200, response.text
    return response


async def held(http: httpx.AsyncClient, change: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is stored at the seqs that an append answered."""
    count = change["end"] - change["start"]
    query = f"after={change['start'] - 1}&limit={count}"
    answer = await http.get(f"{MESSAGES}?{query}", headers={"Cache-Control": "no-cache"})
    found: list[dict[str, Any]] = answer.json()["messages"]
    return found


async def nothing(_: httpx.AsyncClient, __: str) -> None:
    """The answer was lost on its way to the client."""


async def another_append(http: httpx.AsyncClient, _: str) -> None:
    """Somebody added to the session."""
    await post(http, [message("c")])


async def delete(http: httpx.AsyncClient, _: str) -> None:
    """The session was deleted."""
    await http.delete(SESSION)


async def begin_anew(http: httpx.AsyncClient, _: str) -> None:
    """The session was deleted and made again, as long as it was."""
    await http.delete(SESSION)
    await post(http, [message(text) for text in "xyz"])


async def pop(_: httpx.AsyncClient, url: str) -> None:
    """The last message was taken away."""
    async with open_cache(url) as cache:
        await cache.session("s").pop()


async def put_without(http: httpx.AsyncClient, _: str) -> None:
    """A PUT left the messages out."""
    await http.put(SESSION, json={"messages": BEFORE})


async def put_others(http: httpx.AsyncClient, _: str) -> None:
    """A PUT has as many other messages in their place."""
    await http.put(SESSION, json={"messages": [message(text) for text in "xyz"]})


async def expire(_: httpx.AsyncClient, url: str) -> None:
    """The session's time ended."""
    async with Redis.from_url(url) as admin:
        assert await admin.pexpire("mc:{//s}", -1)


BETWEEN: list[Between] = [
    nothing,
    another_append,
    delete,
    begin_anew,
    pop,
    put_without,
    put_others,
    expire,
]


@pytest.mark.parametrize("between", BETWEEN)
async def test_what_is_acknowledged_is_stored(
    valkey_url: str, workers: tuple[httpx.AsyncClient, httpx.AsyncClient], between: Between
) -> None:
    """The same messages sent again without a key are stored where the answer says, anywhere."""
    one, other = workers
    await post(one, BEFORE)
    await post(one, TURN)
    await between(one, valkey_url)
    for worker in (other, one):
        again = await post(worker, TURN)
        assert "idempotency-replayed" not in again.headers
        for reader in workers:
            assert await held(reader, again.json()) == TURN


@pytest.mark.parametrize("between", BETWEEN)
async def test_a_key_is_answered_with_the_first_result(
    valkey_url: str, workers: tuple[httpx.AsyncClient, httpx.AsyncClient], between: Between
) -> None:
    """An append is done once under its key, though what it wrote has gone since."""
    one, other = workers
    await post(one, BEFORE)
    first = await post(one, TURN, **{"Idempotency-Key": "turn"})
    await between(one, valkey_url)
    stored = (await one.get(SESSION)).json().get("messages")
    for worker in (other, one):
        again = await post(worker, TURN, **{"Idempotency-Key": "turn"})
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first.json()
    assert (await one.get(SESSION)).json().get("messages") == stored


@pytest.mark.parametrize("keep_record", [True, False])
async def test_a_failover_that_lost_the_append(
    valkey_url: str, workers: tuple[httpx.AsyncClient, httpx.AsyncClient], *, keep_record: bool
) -> None:
    """What a failover lost is stored when it is sent again, whether its record is lost or not."""
    one, other = workers
    await post(one, BEFORE)
    async with Redis.from_url(valkey_url) as admin:
        before = await admin.dump("mc:{//s}")
        assert before is not None
        await post(one, TURN)
        await admin.restore("mc:{//s}", 0, before, replace=True)
        if not keep_record:
            await admin.delete(*[key async for key in admin.scan_iter("mc:*op:*")])
    again = await post(other, TURN)
    assert await held(other, again.json()) == TURN


async def test_the_library_has_no_names_of_its_own(valkey_url: str) -> None:
    """An append through the library is done each time, too, whatever ids its messages have."""
    async with open_cache(valkey_url) as cache:
        chat = cache.session("s")
        await chat.append(TURN)
        await chat.delete()
        assert not (await chat.append(TURN)).replayed
        await chat.append(TURN)
        assert (await chat.transcript()).messages == TURN + TURN


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([("m2", "b"), ("m3", "c")], [("m3", "c"), ("m4", "d")]),
        ([("m2", "b")], [("m2", "something else")]),
        ([("m2", "b"), ("m2", "b")], [("m2", "b")]),
    ],
)
async def test_ids_of_messages_are_not_looked_for(
    workers: tuple[httpx.AsyncClient, httpx.AsyncClient],
    first: list[tuple[str, str]],
    second: list[tuple[str, str]],
) -> None:
    """Appends that share ids are all stored, as they were sent."""
    for some, worker in zip((first, second), workers, strict=True):
        await post(worker, [message(text, id=own_id) for own_id, text in some])
    document = (await workers[0].get(SESSION)).json()
    assert [(each["id"], each["content"]) for each in document["messages"]] == first + second


async def test_sent_again_while_the_session_is_deleted(
    workers: tuple[httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    """Of many who send the same while others delete it, whoever was last is found stored."""
    answers: list[httpx.Response] = []

    async def sending(worker: httpx.AsyncClient) -> None:
        for _ in range(20):
            answers.append(await post(worker, TURN))  # noqa: PERF401  # one after the other

    async def deleting(worker: httpx.AsyncClient) -> None:
        for _ in range(5):
            await worker.delete(SESSION)

    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(sending(worker))
            group.create_task(deleting(worker))
    answers.append(await post(workers[0], TURN))
    life = answers[-1].headers["memory-version"].partition(".")[0]
    alive = [
        answer.json()
        for answer in answers
        if answer.headers["memory-version"].partition(".")[0] == life
    ]
    document = (await workers[1].get(f"{MESSAGES}?after=-1&limit=1000")).json()
    assert contents(document) == ["a", "b"] * len(alive)
    assert sorted(each["start"] for each in alive) == list(range(0, 2 * len(alive), 2))
