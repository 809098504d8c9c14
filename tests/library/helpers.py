"""What tests of the library share."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from memory_cache import Page, Session, Tier
from support.valkey import ValkeyServer

WAIT_SECONDS = 10.0


def said(at: int, **more: object) -> dict[str, Any]:
    """A message that tells its position."""
    return {"role": "user", "content": f"message {at}"} | more


def several(start: int, end: int) -> list[dict[str, Any]]:
    """Messages that tell their positions."""
    return [said(at) for at in range(start, end)]


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a fact holds, by asking again and again; fails after some seconds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await fact():  # noqa: ASYNC110  # what is asked makes no event
            await asyncio.sleep(0.005)


async def heat(*sessions: Session) -> None:
    """Read until the near cache answers for these sessions."""
    for session in sessions:

        async def hot(session: Session = session) -> bool:
            return (await session.recent(1)).tier is Tier.NEAR

        await until(hot)


async def check(session: Session, want: Sequence[dict[str, Any]], first: int = 0) -> Page:
    """Compare every way to read a session with what it should hold; the whole transcript."""
    whole = await session.transcript()
    end = first + len(want)
    assert whole.messages == want
    assert (whole.first, whole.start, whole.end, whole.next) == (first, first, end, end)
    assert whole.header is not None
    assert whole.header.size == sum(map(len, _lines(whole.bodies)))
    recent = await session.recent(1000)
    assert recent.messages == want[-1000:]
    assert recent.token_count == whole.token_count
    if len(want) <= 1000:
        assert recent.token_counts is not None
        assert sum(recent.token_counts) == whole.token_count
        assert recent.view_json == whole.view_json
    for count in (0, 1, 63, 64, 65):
        assert (await session.recent(count)).messages == want[len(want) - min(count, len(want)) :]
    assert [message async for message in session] == want
    assert await walk(session, 50) == want
    return whole


async def walk(session: Session, limit: int) -> list[dict[str, Any]]:
    """The transcript, page by page from its end."""
    page = await session.page(limit=limit)
    found = page.messages
    while page.start > page.first:
        page = await session.page(before=page.start, limit=limit)
        assert page.messages
        found = page.messages + found
    return found


def record_of(server: ValkeyServer, session_id: str) -> str:
    """The key of the one record whose name ends in this id."""
    with server.admin as client:
        [key] = client.keys(f"*{session_id}}}")
    name: str = key.decode()
    return name


def _lines(chunks: Sequence[bytes]) -> list[bytes]:
    return [line for chunk in chunks for line in chunk.split(b"\n")]
