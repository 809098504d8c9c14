from typing import Any

import pytest

from library.helpers import check, heat, said, several
from memory_cache import InvalidInputError, Session, SessionCache, Tier, at_least

LENGTHS = [1, 2, 63, 64, 65, 127, 128, 129, 200]


@pytest.mark.parametrize("length", LENGTHS)
async def test_every_read_agrees(chat: Session, length: int) -> None:
    """All ways to read return the same messages, on both sides of a block's bound."""
    want = several(0, length)
    await chat.append(want)
    await check(chat, want)
    await heat(chat)
    await check(chat, want)


async def test_every_read_agrees_on_any_server(any_cache: SessionCache) -> None:
    """Valkey and Redis alike keep a transcript that is appended to in pieces."""
    chat = any_cache.session("chat")
    want: list[dict[str, Any]] = []
    for size in (1, 0, 62, 1, 1, 64, 3, 130):
        new = several(len(want), len(want) + size)
        change = await chat.append(new)
        assert (change.start, change.end) == (len(want), len(want) + size)
        want += new
        assert (change.first, change.next) == (0, len(want))
    await check(chat, want)


async def test_append_takes_one_or_several(chat: Session) -> None:
    """One message, a list and an empty list may be appended; each is one change."""
    versions = []
    for new in (said(0), [said(1), said(2)], (), [said(3)]):
        change = await chat.append(new)
        versions.append(change.version)
    await check(chat, several(0, 4))
    assert [version.num for version in versions if version] == [1, 2, 3, 4]


async def test_empty_append_makes_the_session(chat: Session) -> None:
    """Appending nothing makes a session, which exists and is empty."""
    change = await chat.append([])
    assert (change.start, change.end, change.next) == (0, 0, 0)
    whole = await check(chat, [])
    assert whole.exists


async def test_missing_session_reads_as_empty(chat: Session) -> None:
    """A session that does not exist is empty in every way to read it, and is not made by that."""
    assert chat.peek(5) is None
    for page in (
        await chat.recent(5),
        await chat.recent(5, by_created_at=True),
        await chat.page(),
        await chat.page(before=3),
        await chat.page(after=3),
        await chat.transcript(),
        await chat.window(100),
    ):
        assert not page.exists
        assert page.messages == []
        assert page.fields == {}
        assert page.tier is Tier.STORE
    assert [message async for message in chat] == []
    assert await chat.pop() is None
    assert not (await chat.delete()).existed
    assert not (await chat.recent(1)).exists


@pytest.mark.parametrize(
    ("bounds", "start", "end"),
    [
        ((70, None, 10), 60, 70),
        ((5, None, 10), 0, 5),
        ((0, None, 50), 0, 0),
        ((10**9, None, 3), 197, 200),
        ((None, 126, 3), 127, 130),
        ((None, -1, 2), 0, 2),
        ((None, 198, 50), 199, 200),
        ((None, 199, 50), 200, 200),
        ((None, 10**9, 50), 200, 200),
        ((None, None, 7), 193, 200),
    ],
)
async def test_pages(
    chat: Session, bounds: tuple[int | None, int | None, int], start: int, end: int
) -> None:
    """A page ends before, or begins after, the seq that is given, and tells where it is."""
    await chat.append(several(0, 200))
    before, after, limit = bounds
    page = await chat.page(before=before, after=after, limit=limit)
    assert (page.start, page.end) == (start, end)
    assert page.messages == several(start, end)
    assert page.next == 200


async def test_numbers_out_of_range(chat: Session) -> None:
    """Counts and limits that make no sense are refused before anything is asked."""
    with pytest.raises(InvalidInputError):
        await chat.recent(-1)
    with pytest.raises(InvalidInputError):
        chat.peek(-1)
    for limit in (0, 1001, -1):
        with pytest.raises(InvalidInputError):
            await chat.page(limit=limit)
    with pytest.raises(InvalidInputError):
        await chat.page(before=1, after=1)


@pytest.mark.parametrize("by_created_at", [False, True])
@pytest.mark.parametrize("count", [0, 1, 5, 1000, 10**9])
async def test_peek_is_recent_without_waiting(
    chat: Session, count: int, by_created_at: bool
) -> None:
    """Once hot, peek gives what recent gives, from the near cache, as far as its ring reaches."""
    await chat.append(several(0, 5))
    assert chat.peek(count, by_created_at=by_created_at) is None
    await heat(chat)
    page = chat.peek(count, by_created_at=by_created_at)
    assert page is not None
    assert page.tier is Tier.NEAR
    assert page.messages == several(max(0, 5 - count), 5)
    assert page == await chat.recent(count, by_created_at=by_created_at)


async def test_recent_of_more_than_the_ring(chat: Session) -> None:
    """A hot session whose ring is too short for a read is read from the store, exactly."""
    await chat.append(several(0, 700))
    await heat(chat)
    page = await chat.recent(600)
    assert page.tier is Tier.STORE
    assert page.messages == several(100, 700)
    again = await chat.recent(10)
    assert again.tier is Tier.NEAR
    assert again.messages == several(690, 700)


@pytest.mark.parametrize("length", [1, 64, 65, 400])
async def test_window(chat: Session, length: int) -> None:
    """A window is the longest suffix within the tokens, however far back that reaches."""
    await chat.append([{"role": "u", "content": "x" * (at % 40)} for at in range(length)])
    whole = await chat.recent(1000)
    counts = whole.token_counts or ()
    assert len(counts) == length
    for limit in (0, 1, 7, 100, sum(counts) - 1, sum(counts), sum(counts) + 1):
        window = await chat.window(limit)
        fits = [n for n in range(1, length + 1) if sum(counts[-n:]) <= limit] or [1]
        assert window.end == length
        assert window.messages == whole.messages[length - fits[-1] :], limit


async def test_window_of_an_empty_session(chat: Session) -> None:
    """A window of nothing is empty."""
    await chat.append([])
    assert (await chat.window(10)).messages == []


async def test_iteration_is_of_one_version(chat: Session) -> None:
    """Messages appended while one iterates are not in it; those that were there all are."""
    await chat.append(several(0, 300))
    seen: list[dict[str, Any]] = []
    async for message in chat:
        if len(seen) == 10:
            await chat.append(several(300, 400))
        seen.append(message)
    assert seen == several(0, 300)


async def test_reading_asks_once_for_many(cache: SessionCache, chat: Session) -> None:
    """Statistics count each read once, as a hit or a miss."""
    await chat.append(several(0, 5))
    await heat(chat)
    before = cache.statistics()
    version = (await chat.recent(5)).version
    assert version is not None
    await chat.recent(5, consistency=at_least(version))
    assert chat.peek(5) is not None
    await chat.transcript()
    await chat.append(said(5))
    await chat.recent(5)
    after = cache.statistics()
    assert after.hits - before.hits == 4
    assert after.misses - before.misses == 1
    assert after.reads == after.hits + after.misses
    assert after.sessions_held == 1
    assert 0 < after.bytes_held <= after.bytes_budget
    assert 0 < after.lease_seconds <= 1
