import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from library.helpers import check, heat, record_of, said, several
from memory_cache import (
    ABSENT,
    NEWEST,
    Change,
    InvalidInputError,
    OperationReusedError,
    Session,
    SessionCache,
    TranscriptEditedError,
    Version,
    VersionMismatchError,
)
from support.valkey import ValkeyServer

Changing = Callable[[Session, Version | str | None], Awaitable[object]]

LENGTHS = [1, 2, 63, 64, 65, 128, 129]


@pytest.mark.parametrize("length", LENGTHS)
async def test_pop_at_block_bounds(chat: Session, length: int) -> None:
    """Popping takes messages off the end one by one, also out of blocks that were sealed."""
    want = several(0, length)
    await chat.append(want)
    for _ in range(min(length, 3)):
        assert await chat.pop() == want.pop()
        await check(chat, want)
    want += several(900, 970)
    await chat.append(several(900, 970))
    await check(chat, want)


async def test_pop_of_an_empty_session(chat: Session) -> None:
    """A session that is popped empty exists, and gives None from then on."""
    await chat.append(said(0))
    assert await chat.pop() == said(0)
    assert await chat.pop() is None
    assert (await chat.recent(5)).exists
    await chat.append(said(1))
    await check(chat, [said(1)])


async def test_concurrent_pops_share_nothing(chat: Session) -> None:
    """Pops at the same time take each message once."""
    await chat.append(several(0, 70))
    popped = await asyncio.gather(*(chat.pop() for _ in range(6)))
    assert sorted(each["content"] for each in popped if each) == sorted(
        each["content"] for each in several(64, 70)
    )
    await check(chat, several(0, 64))


@pytest.mark.parametrize("before", [0, 1, 64, 100])
@pytest.mark.parametrize("after", [0, 1, 64, 130])
async def test_replace(chat: Session, before: int, after: int) -> None:
    """Replacing leaves just what was given, whatever was there, and other fields as they were."""
    await chat.set_fields({"context": "c"})
    await chat.append(several(0, before))
    change = await chat.replace(several(500, 500 + after))
    assert (change.first, change.start, change.end, change.next) == (0, 0, after, after)
    whole = await check(chat, several(500, 500 + after))
    assert whole.fields == {"context": "c"}
    await chat.replace([said(1)], {"data": {"a": 1}})
    assert (await check(chat, [said(1)])).fields == {"data": {"a": 1}}


async def test_replace_makes_the_session(chat: Session) -> None:
    """A session that does not exist can be replaced, with fields or without."""
    await chat.replace([said(0)])
    whole = await check(chat, [said(0)])
    assert whole.fields == {}


async def test_iteration_sees_an_edit(chat: Session) -> None:
    """An edit of the transcript ends an iteration with an error rather than with a mix."""
    await chat.append(several(0, 64 * 40))
    seen: list[dict[str, Any]] = []

    async def read() -> None:
        async for message in chat:
            if not seen:
                await chat.pop()
            seen.append(message)

    with pytest.raises(TranscriptEditedError):
        await read()
    assert seen == several(0, len(seen))


async def test_fields(chat: Session) -> None:
    """Fields that are given are replaced, those given as None cleared, the others left."""
    await chat.append(said(0))
    await chat.set_fields({"context": "c", "data": {"a": [1, None]}, "x": None})
    await chat.set_fields({"context": None, "user": "é\u2028"})
    for page in (await chat.recent(1), await chat.transcript()):
        assert page.fields == {"data": {"a": [1, None]}, "user": "é\u2028"}
    await heat(chat)
    await chat.set_fields({"data": 2.5})
    page = await chat.recent(1)
    assert page.fields == {"data": 2.5, "user": "é\u2028"}
    assert page.messages == [said(0)]


async def test_fields_make_the_session(chat: Session) -> None:
    """Setting fields makes a session without messages."""
    change = await chat.set_fields({"a": 1})
    assert change.next == 0
    assert (await check(chat, [])).fields == {"a": 1}


async def test_concurrent_fields_all_stay(chat: Session) -> None:
    """Fields set at the same time do not undo one another."""
    await asyncio.gather(*(chat.set_fields({f"f{at}": at}) for at in range(6)))
    assert (await chat.recent(0)).fields == {f"f{at}": at for at in range(6)}


async def test_delete(chat: Session) -> None:
    """A deleted session is gone, with its fields; what is made after it begins anew."""
    await chat.append(several(0, 70))
    await chat.set_fields({"a": 1})
    await heat(chat)
    change = await chat.delete()
    assert change.existed
    assert change.version is not None
    for page in (await chat.recent(5), await chat.transcript()):
        assert not page.exists
    assert chat.peek(5) is None
    again = await chat.append(said(7))
    assert again.version is not None
    assert again.version.inc != change.version.inc
    assert (await check(chat, [said(7)])).fields == {}


async def test_delete_of_what_was_lost(
    chat: Session, other_cache: SessionCache, valkey: ValkeyServer
) -> None:
    """Where the store had lost the session, a delete makes everybody forget it, too."""
    other = other_cache.session("chat", namespace="acme", user_id="u7")
    before = await chat.append(several(0, 3))
    await heat(chat, other)
    with valkey.admin as store:
        store.delete(record_of(valkey, "chat"))
    with pytest.raises(VersionMismatchError) as caught:
        await chat.delete(if_version=before.version)
    assert caught.value.current is None
    assert chat.peek(1) is None
    assert other.peek(1) is not None
    assert not (await chat.delete()).existed
    assert not (await other.recent(1, consistency=NEWEST)).exists


async def _append(chat: Session, version: Version | str | None) -> Change:
    return await chat.append(said(1), if_version=version)


async def _replace(chat: Session, version: Version | str | None) -> Change:
    return await chat.replace([said(1)], if_version=version)


async def _set_fields(chat: Session, version: Version | str | None) -> Change:
    return await chat.set_fields({"a": 1}, if_version=version)


async def _put(chat: Session, version: Version | str | None) -> Change:
    return (await chat.put([], {}, if_version=version))[0]


async def _pop(chat: Session, version: Version | str | None) -> object:
    return await chat.pop(if_version=version)


async def _delete(chat: Session, version: Version | str | None) -> Change:
    return await chat.delete(if_version=version)


CHANGES: list[Changing] = [_append, _replace, _set_fields, _put, _pop, _delete]


@pytest.mark.parametrize("change", CHANGES)
async def test_if_version(chat: Session, change: Changing) -> None:
    """A change under a version is made if that is current, and otherwise nothing happens."""
    old = (await chat.append(said(0))).version
    new = (await chat.append(said(1))).version
    assert old is not None
    assert new is not None
    forged = Version(new.inc, new.era, new.num, "0" * 16)
    for wrong in (old, str(old), forged, "a.b.1.c"):
        with pytest.raises(VersionMismatchError) as caught:
            await change(chat, wrong)
        assert caught.value.current == str(new)
        assert caught.value.applied == "no"
    await check(chat, several(0, 2))
    await change(chat, str(new))
    assert (await chat.recent(1)).version != new


@pytest.mark.parametrize("change", CHANGES)
async def test_if_version_of_no_session(chat: Session, change: Changing) -> None:
    """No session is at any version: nothing is made, popped or deleted under one."""
    for wrong in ("a.b.1.c", Version("a", "b", 1, "c")):
        with pytest.raises(VersionMismatchError) as caught:
            await change(chat, wrong)
        assert caught.value.current is None
    assert not (await chat.recent(1)).exists


async def test_if_absent(chat: Session) -> None:
    """Under ABSENT a session is made once, hot or cold, and made again after a delete."""
    first = await chat.append(said(0), if_version=ABSENT)
    assert first.version is not None
    for _ in range(2):
        for again in (
            chat.append(said(1), if_version=ABSENT),
            chat.replace([], if_version=ABSENT),
            chat.set_fields({}, if_version=ABSENT),
            chat.delete(if_version=ABSENT),
            chat.pop(if_version=ABSENT),
        ):
            with pytest.raises(VersionMismatchError):
                await again
        with pytest.raises(VersionMismatchError):
            await chat.put([], {}, if_version=ABSENT)
        await heat(chat)
    await check(chat, [said(0)])
    await chat.delete()
    await chat.append(said(2), if_version=ABSENT)
    await check(chat, [said(2)])


@pytest.mark.parametrize("text", ["", "1", "a.b.c.d", "\ud800.b.1.c", "a.b.-1.c"])
async def test_version_that_is_not_ours(chat: Session, text: str) -> None:
    """A text that is no version is refused as input, and harms nobody."""
    with pytest.raises(InvalidInputError):
        await chat.append(said(0), if_version=text)
    assert not (await chat.recent(1)).exists


async def test_racing_writers_under_a_version(cache: SessionCache, chat: Session) -> None:
    """Of many writers that expect the same version just one succeeds."""
    version = (await chat.append(said(0))).version
    handles = [cache.session("chat", namespace="acme", user_id="u7") for _ in range(8)]
    results = await asyncio.gather(
        *(each.append(said(9), if_version=version) for each in handles), return_exceptions=True
    )
    assert sum(isinstance(result, Change) for result in results) == 1
    assert sum(isinstance(result, VersionMismatchError) for result in results) == 7
    assert (await chat.recent(9)).next == 2


async def test_operation_id_of_wrong_size(chat: Session) -> None:
    """Operation ids are any text of 1 to 255 characters."""
    for wrong in ("", "x" * 256, "\ud800"):
        with pytest.raises(InvalidInputError):
            await chat.append(said(0), operation_id=wrong)
    for right in ("x" * 255, "a b\n{é}"):
        await chat.append(said(0), operation_id=right)
    assert (await chat.recent(9)).next == 2


async def test_operation_reused(chat: Session) -> None:
    """An id that was used for one change is refused for any other."""
    await chat.append(said(0), operation_id="op")
    others = [
        chat.append(said(1), operation_id="op"),
        chat.append([said(0), said(0)], operation_id="op"),
        chat.append(said(0), operation_id="op", ttl_seconds=9),
        chat.replace([said(0)], operation_id="op"),
        chat.set_fields({}, operation_id="op"),
        chat.delete(operation_id="op"),
        chat.pop(operation_id="op"),
    ]
    for other in others:
        with pytest.raises(OperationReusedError):
            await other
    await check(chat, [said(0)])
