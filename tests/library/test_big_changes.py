"""Changes and reads of megabytes: in slices, and yet whole."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from library.helpers import record_of, several, until
from library.relay import Relay
from library.scale import Scale
from library.test_lost_answers import MADE
from memory_cache import CacheConfig, ContractMessage, Session, SessionCache, StoreError, open_cache
from support.valkey import ValkeyServer

MIB = 1024 * 1024
SLICE = 2 * MIB
"""More than any slice, with the largest of messages at its end."""

NO_NEAR_CACHE = CacheConfig(near_cache_bytes=0)


def large(start: int, count: int, size: int = 8192) -> list[dict[str, Any]]:
    """Messages that tell their positions, each of some size."""
    return [
        {"role": "user", "content": f"{at} " + "x" * size} for at in range(start, start + count)
    ]


@asynccontextmanager
async def weighed(server: ValkeyServer) -> AsyncIterator[tuple[Scale, SessionCache]]:
    """A scale, and a cache whose store is behind it."""
    with server.admin as admin:
        admin.flushall()
    async with (
        Scale(server.socket_path) as scale,
        open_cache(scale.url, config=NO_NEAR_CACHE) as cache,
    ):
        yield scale, cache


def aside(server: ValkeyServer) -> list[bytes]:
    """The keys of what is written aside."""
    with server.admin as admin:
        return [bytes(key) for key in admin.keys("*:staged:*")]


async def holds(session: Session, want: Sequence[dict[str, Any]], server: ValkeyServer) -> None:
    """Compare a session with what it should hold, and look for what should not be there."""
    page = await session.transcript()
    assert page.messages == list(want)
    assert (await session.recent(100)).messages == list(want[-100:])
    with server.admin as admin:
        fields = {name.decode() for name in admin.hkeys(record_of(server, session.key.session_id))}
        assert all(int(admin.pttl(key)) > 0 for key in aside(server))
        with admin.pipeline() as lengths:
            for name in fields:
                lengths.hstrlen(record_of(server, session.key.session_id), name)
            assert max(lengths.execute()) < SLICE
    assert "w" not in fields
    for name in fields - {"h", "f", "p"}:
        number = int(name[1:])
        seq = number if name[0] == "m" else number * 64
        assert page.first // 64 * 64 <= seq < page.next
        assert not (name[0] == "m" and f"b{number // 64}" in fields)


@pytest.mark.parametrize("size", [1000, 40_000, 1_000_000])
async def test_no_command_is_large(any_server: ValkeyServer, size: int) -> None:
    """However much is written, read and removed, no command or answer is more than a slice."""
    count = 16 * MIB // size
    async with weighed(any_server) as (scale, cache):
        chat = cache.session("chat")
        want = several(0, 100)
        await chat.append(want)
        want += large(100, count, size)
        await chat.append(want[100:])
        assert scale.slices >= 16
        await holds(chat, want, any_server)
        want[70:] = large(1000, count, size)
        await chat.put([ContractMessage("user", one["content"]) for one in want], {})
        kept = [one["content"] for one in (await chat.transcript()).messages]
        assert kept == [one["content"] for one in want]
        await chat.replace(want)
        await holds(chat, want, any_server)
        assert [one async for one in chat] == want
        assert (await chat.page(after=-1, limit=1000)).messages == want[:1000]
        assert await chat.pop() == want[-1]
        await chat.append(want[-1])
        await holds(chat, want, any_server)
        assert scale.heaviest < SLICE
        assert scale.heaviest_answer < SLICE
        await chat.delete()


@pytest.mark.parametrize("held", [0, 64, 100])
async def test_append_lands_after_another(valkey: ValkeyServer, held: int) -> None:
    """A large append that others overtake comes after theirs, whole and once; readers see both."""
    async with weighed(valkey) as (scale, cache), open_cache(valkey.url) as other:
        chat, theirs = cache.session("chat"), other.session("chat")
        want, sent = several(0, held), large(0, 600)
        if held:
            await chat.append(want)
        told = several(1000, 1001)

        async def overtake(slices: int) -> None:
            if slices == 3:
                await theirs.append(told)
            # What is written by now is seen by nobody.
            assert (await theirs.transcript()).messages == want + told * (slices >= 3)

        scale.on_slice = overtake
        change = await chat.append(sent)
        assert scale.slices > 5
        assert (change.start, change.end) == (held + 1, held + 601)
        await holds(theirs, want + told + sent, valkey)


async def test_append_that_is_always_overtaken_is_made(valkey: ValkeyServer) -> None:
    """A large append into a session that never rests is made all the same."""
    async with weighed(valkey) as (scale, cache), open_cache(valkey.url) as other:
        chat, theirs, sent = cache.session("chat"), other.session("chat"), large(0, 300)
        await chat.append(several(0, 1))

        async def overtake(slices: int) -> None:
            await theirs.append(several(slices, slices + 1))

        scale.on_slice = overtake
        await chat.append(sent)
        await holds(chat, several(0, scale.slices + 1) + sent, valkey)


@pytest.mark.parametrize("at", [1, 2, 4, 6])
@pytest.mark.parametrize("held", [0, 100])
async def test_cut_connection(valkey: ValkeyServer, at: int, held: int) -> None:
    """A large append or edit whose connection ends amid the slices is made once, or not at all."""
    async with weighed(valkey) as (scale, cache):
        chat, want, sent = cache.session("chat"), several(0, held), large(0, 600)
        if held:
            await chat.append(want)

        async def cut(slices: int) -> None:
            scale.cut = slices == at

        scale.on_slice = cut
        with pytest.raises(StoreError) as refused:
            await chat.append(sent)
        assert refused.value.applied == "no"
        assert (await chat.transcript()).messages == want
        await chat.append(several(0, 1))
        want += several(0, 1)
        await holds(chat, want, valkey)
        scale.slices = 0
        with pytest.raises(StoreError) as refused:
            await chat.replace(sent)
        assert refused.value.applied == "no"
        await holds(chat, want, valkey)
        scale.on_slice = None
        await chat.append(sent)
        await holds(chat, want + sent, valkey)


async def test_put_that_grew_and_was_cut(valkey: ValkeyServer) -> None:
    """A large PUT that grew, whose connection ends, leaves no digests to what comes after."""
    async with weighed(valkey) as (scale, cache):
        chat = cache.session("chat")
        sent = [
            ContractMessage("user", f"{at} " + "x" * 8192, str(at), "2026-01-01T00:00:00Z")
            for at in range(600)
        ]
        await chat.put(sent[:100], {})
        held = (await chat.transcript()).messages

        async def cut(slices: int) -> None:
            scale.cut = slices == 4

        scale.on_slice, scale.slices = cut, 0
        with pytest.raises(StoreError):
            await chat.put(sent, {})
        await chat.append(several(0, 1))
        await holds(chat, held + several(0, 1), valkey)
        await chat.append(several(1, 300))
        await holds(chat, held + several(0, 300), valkey)
        change, _ = await chat.put(sent, {})
        assert (change.start, change.end) == (100, 600)
        assert [one["id"] for one in (await chat.transcript()).messages] == [m.id for m in sent]


async def test_put_that_is_overtaken(valkey: ValkeyServer) -> None:
    """A large PUT that others overtake compares again; nothing stays aside of the first try."""
    async with weighed(valkey) as (scale, cache), open_cache(valkey.url) as other:
        chat, theirs, sent = cache.session("chat"), other.session("chat"), large(0, 900)
        await chat.append(sent[:200])

        async def overtake(slices: int) -> None:
            if slices == 5:
                await theirs.append(several(0, 1))

        scale.on_slice, scale.slices = overtake, 0
        sent[100] = several(100, 101)[0]
        await chat.put([ContractMessage("user", one["content"]) for one in sent], {})
        page = await theirs.transcript()
        assert [one["content"] for one in page.messages] == [one["content"] for one in sent]
        await holds(theirs, page.messages, valkey)
        assert not aside(valkey)


@pytest.mark.parametrize("at_end", [False, True])
async def test_append_that_was_thought_dead(valkey: ValkeyServer, at_end: bool) -> None:
    """A large append that stood still, so that another took its place, does not spoil that one."""
    async with (
        weighed(valkey) as (slow, cache),
        Scale(valkey.socket_path) as fast,
        open_cache(fast.url, config=NO_NEAR_CACHE) as other,
    ):
        chat, theirs = cache.session("chat"), other.session("chat")
        await chat.append(several(0, 70))
        taken, woken = asyncio.Event(), asyncio.Event()

        async def stand_still(slices: int) -> None:
            if slices == 3:
                # Three slices are all: after them comes the command that ends the append.
                slow.least = 0
            if slices == 3 + at_end:
                await taken.wait()
            if slices > 3 + at_end:
                woken.set()

        async def take_over(_: int) -> None:
            whose, written, *_more = progress()
            if whose != mine_is and int(written) == 2:
                taken.set()
                await woken.wait()

        def progress() -> list[bytes]:
            with valkey.admin as admin:
                return bytes(admin.hget(record_of(valkey, "chat"), "w")).split()

        async def begun() -> bool:
            return slow.slices == 3 + at_end

        slow.on_slice, slow.slices = stand_still, 0
        mine = asyncio.create_task(chat.append(large(0, 300)))
        await until(begun)
        mine_is, fast.on_slice = progress()[0], take_over
        async with asyncio.timeout(20):
            theirs_is_done = await theirs.append(large(1000, 400))
            change = await mine
        order = [large(1000, 400), large(0, 300)]
        assert (theirs_is_done.start, change.start) == (70, 470)
        await holds(theirs, several(0, 70) + order[0] + order[1], valkey)


async def test_answer_that_is_lost(valkey: ValkeyServer, valkey_url: str) -> None:
    """A large change whose answer got lost is sent again and made once."""
    assert valkey_url == valkey.url
    async with Relay(valkey.socket_path, *MADE) as relay, open_cache(relay.url) as cache:
        chat, sent = cache.session("chat"), large(0, 300)
        for want in (sent, sent + sent):
            relay.lose = 1
            assert (await chat.append(sent)).replayed
            assert relay.lose == 0
            await holds(chat, want, valkey)
        relay.lose = 1
        assert (await chat.replace(sent)).replayed
        await holds(chat, sent, valkey)


@pytest.mark.parametrize("between", [0, 200])
async def test_append_that_is_given_up(valkey: ValkeyServer, between: int) -> None:
    """A large append that is cancelled amid its slices is as if it had not been."""
    async with weighed(valkey) as (scale, cache), open_cache(valkey.url) as other:
        chat, theirs = cache.session("chat"), other.session("chat")
        await chat.append(several(0, 100))
        reached = asyncio.Event()

        async def tell(slices: int) -> None:
            if slices == 4:
                reached.set()

        scale.on_slice = tell
        task = asyncio.create_task(chat.append(large(0, 600)))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if between:
            await theirs.append(several(100, 100 + between))
            await holds(theirs, several(0, 100 + between), valkey)
        # The next large one waits for it no longer than for one that may still be at work.
        await theirs.append(large(0, 600))
        await holds(theirs, several(0, 100 + between) + large(0, 600), valkey)


@pytest.mark.parametrize("small", [True, False])
async def test_much_is_taken_away_in_parts(valkey: ValkeyServer, small: bool) -> None:
    """What a cancelled append of very many left goes by and by, before later messages reach it."""
    async with weighed(valkey) as (scale, cache):
        chat = cache.session("chat")
        await chat.append(several(0, 100))

        async def cut(slices: int) -> None:
            scale.cut = slices == 20

        scale.on_slice = cut
        with pytest.raises(StoreError):
            await chat.append([{"n": 0}] * 200_000)
        scale.on_slice = None
        record, want = record_of(valkey, "chat"), several(0, 100)
        with valkey.admin as admin:
            left = admin.hlen(record)
            if small:
                await chat.append(several(100, 101))
                want += several(100, 101)
                assert admin.hexists(record, "w")
                assert 100 < int(admin.hlen(record)) < left
        await chat.append([{"n": 1}] * (1 if small else 5000))
        await holds(chat, want + [{"n": 1}] * (1 if small else 5000), valkey)


async def test_large_append_waits_for_another(valkey: ValkeyServer) -> None:
    """Large appends at once, by several workers, come one after the other, each whole."""
    async with weighed(valkey) as (_, cache), open_cache(valkey.url) as other:
        chats = [cache.session("chat"), other.session("chat"), cache.session("chat")]
        await chats[0].append(several(0, 70))
        sent = [large(1000 * at, 300) for at in range(3)]
        changes = await asyncio.gather(
            *(chat.append(some) for chat, some in zip(chats, sent, strict=True))
        )
        order = sorted(range(3), key=lambda at: changes[at].start)
        want = several(0, 70) + [one for at in order for one in sent[at]]
        await holds(chats[1], want, valkey)


async def test_session_that_goes_meanwhile(valkey: ValkeyServer) -> None:
    """A large append to a session that is deleted under it makes a new one of it alone."""
    async with weighed(valkey) as (scale, cache), open_cache(valkey.url) as other:
        chat, theirs, sent = cache.session("chat"), other.session("chat"), large(0, 300)
        await chat.append(several(0, 70))

        async def delete(slices: int) -> None:
            if slices == 2:
                await theirs.delete()

        scale.on_slice = delete
        assert (await chat.append(sent)).start == 0
        await holds(theirs, sent, valkey)


async def test_large_append_keeps_the_deadline(valkey: ValkeyServer) -> None:
    """A large append to a session that expires restarts its time to live; aside nothing stays."""
    async with weighed(valkey) as (_, cache):
        chat = cache.session("chat")
        for _ in range(2):
            await chat.append(large(0, 300), ttl_seconds=1000)
            with valkey.admin as admin:
                assert 990 < int(admin.ttl(record_of(valkey, "chat"))) <= 1000
        await chat.append(large(0, 300), ttl_seconds=1)

        async def nothing_is_left() -> bool:
            with valkey.admin as admin:
                return not [key for key in admin.keys("*{*chat}*") if b":op:" not in key]

        await until(nothing_is_left)


async def test_large_blocks_leave_nothing(valkey: ValkeyServer) -> None:
    """Large blocks that are cut, sealed and written again leave none of their messages behind."""
    async with weighed(valkey) as (_, cache):
        chat, want = cache.session("chat"), large(0, 130, 40_000)
        for at in range(0, 130, 26):
            await chat.append(want[at : at + 26])
        await holds(chat, want, valkey)
        while len(want) > 126:
            assert await chat.pop() == want.pop()
        await holds(chat, want, valkey)
        want[100:] = several(100, 150)
        await chat.put([ContractMessage("user", one["content"]) for one in want], {})
        while (await chat.transcript()).next > 100:
            await chat.pop()
        await chat.append(several(100, 200))
        page = await chat.transcript()
        assert [one["content"] for one in page.messages] == [
            one["content"] for one in want[:100] + several(100, 200)
        ]
        await holds(chat, page.messages, valkey)
