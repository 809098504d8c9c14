import asyncio

import pytest

from library.helpers import check, heat, said, several
from memory_cache import (
    ContractMessage,
    DamagedSessionError,
    OperationReusedError,
    Session,
    SessionCache,
)
from support.valkey import ValkeyServer

CONTRACT = [ContractMessage("user", f"put {at}") for at in range(3)]


async def test_append_is_done_once(chat: Session, other_cache: SessionCache) -> None:
    """The same append under the same id is done once, and answered alike, on any worker."""
    elsewhere = other_cache.session("chat", namespace="acme", user_id="u7")
    first = await chat.append(several(0, 3), operation_id="op")
    await chat.append(said(3))
    for handle in (chat, elsewhere):
        again = await handle.append(several(0, 3), operation_id="op")
        assert again.replayed
        assert again.version == first.version
        assert (again.start, again.end, again.next) == (0, 3, 3)
    assert not first.replayed
    await check(chat, several(0, 4))


async def test_replays_come_before_conditions(chat: Session) -> None:
    """A retry is answered with its first result even if its condition no longer holds."""
    version = (await chat.append(said(0))).version
    first = await chat.append(said(1), operation_id="op", if_version=version)
    again = await chat.append(said(1), operation_id="op", if_version=version)
    assert again.replayed
    assert again.version == first.version


async def test_pop_is_done_once(chat: Session) -> None:
    """A pop that is sent again returns the message it took, also when it took the last one."""
    await chat.append(several(0, 2))
    assert await chat.pop(operation_id="a") == said(1)
    assert await chat.pop(operation_id="a") == said(1)
    assert await chat.pop(operation_id="b") == said(0)
    assert await chat.pop(operation_id="b") == said(0)
    await chat.delete()
    assert await chat.pop(operation_id="b") == said(0)
    assert not (await chat.recent(1)).exists


async def test_fields_are_set_once(chat: Session) -> None:
    """Setting fields again under the same id does not undo what came after."""
    await chat.set_fields({"a": 1}, operation_id="op")
    await chat.set_fields({"a": 2})
    again = await chat.set_fields({"a": 1}, operation_id="op")
    assert again.replayed
    assert (await chat.recent(0)).fields == {"a": 2}


async def test_put_is_done_once(chat: Session) -> None:
    """A PUT under an id is done once; with other messages, fields or time to live refused."""
    first, echo = await chat.put(CONTRACT, {"a": 1}, operation_id="op")
    await chat.append(said(3))
    again, page = await chat.put(CONTRACT, {"a": 1}, operation_id="op")
    assert again.replayed
    assert again.version == first.version
    assert page.view_json == echo.view_json
    for messages, fields, ttl in (
        (CONTRACT[:2], {"a": 1}, None),
        (CONTRACT, {"a": 2}, None),
        (CONTRACT, {"a": 1}, 60),
    ):
        with pytest.raises(OperationReusedError):
            await chat.put(messages, fields, operation_id="op", ttl_seconds=ttl)
    assert (await chat.recent(9)).next == 4


async def test_late_retry_cannot_resurrect(chat: Session) -> None:
    """A retry of a change to a session that was deleted since makes nothing."""
    await chat.append(said(0), operation_id="append")
    await chat.replace([said(1)], operation_id="replace")
    await chat.put(CONTRACT, {}, operation_id="put")
    await chat.set_fields({"a": 1}, operation_id="fields")
    await chat.delete()
    assert (await chat.append(said(0), operation_id="append")).replayed
    assert (await chat.replace([said(1)], operation_id="replace")).replayed
    assert (await chat.put(CONTRACT, {}, operation_id="put"))[0].replayed
    assert (await chat.set_fields({"a": 1}, operation_id="fields")).replayed
    assert not (await chat.recent(1)).exists


async def test_late_retry_cannot_delete(chat: Session) -> None:
    """A retry of a delete leaves a session that was made since alone."""
    await chat.append(said(0))
    first = await chat.delete(operation_id="op")
    await chat.append(said(1))
    again = await chat.delete(operation_id="op")
    assert again.replayed
    assert again.existed
    assert again.version == first.version
    await check(chat, [said(1)])


async def test_delete_of_nothing_is_remembered(chat: Session) -> None:
    """A delete that found nothing deletes nothing when it is sent again later."""
    first = await chat.delete(operation_id="op")
    assert not first.existed
    await chat.append(said(0))
    again = await chat.delete(operation_id="op")
    assert again.replayed
    assert not again.existed
    await check(chat, [said(0)])


async def test_pop_of_nothing_is_remembered(chat: Session) -> None:
    """A pop that found nothing takes nothing when it is sent again later."""
    await chat.append([])
    assert await chat.pop(operation_id="op") is None
    await chat.append(said(0))
    assert await chat.pop(operation_id="op") is None
    await check(chat, [said(0)])


async def test_ids_are_of_one_session(cache: SessionCache) -> None:
    """The same id on two sessions is two changes."""
    one, other = cache.session("one"), cache.session("other")
    for session in (one, other):
        assert not (await session.append(said(0), operation_id="op")).replayed


async def test_same_id_at_the_same_time(chat: Session) -> None:
    """Of many equal changes under one id at the same time one is made, and all agree on it."""
    await heat_with_one(chat)
    changes = await asyncio.gather(*(chat.append(said(1), operation_id="op") for _ in range(10)))
    assert sum(not change.replayed for change in changes) == 1
    assert len({change.version for change in changes}) == 1
    await check(chat, several(0, 2))


async def heat_with_one(chat: Session) -> None:
    """Make the session hot with one message in it."""
    await chat.append(said(0))
    await heat(chat)


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "",
        "{print} 1 2 garbage\n",
        f"{{print}} 1 {10**30} {{line}}\n",
        "{print} 7 3 {line}\n",
    ],
)
async def test_record_that_is_none(valkey: ValkeyServer, chat: Session, text: str) -> None:
    """What is remembered of an operation and cannot be read is damage, of this operation only."""
    await chat.append(said(0), operation_id="one")
    with valkey.admin as client:
        [name] = [key for key in client.keys("*:op:*") if client.pttl(key) > 100_000]
        print_, _, _, line = bytes(client.get(name)).decode().rstrip("\n").split(" ", 3)
        client.set(name, text.format(print=print_, line=line))
    with pytest.raises(DamagedSessionError):
        await chat.append(said(0), operation_id="one")
    await chat.append(said(1), operation_id="two")
    assert (await chat.recent(5)).messages == several(0, 2)
