import random
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from library.helpers import heat
from memory_cache import CacheConfig, ContractMessage, Session, SessionCache, open_cache


def iso(second: int) -> str:
    """The contract's text of a time."""
    return f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def views(json: bytes) -> list[dict[str, str]]:
    """The contract's messages of a page."""
    parsed: list[dict[str, str]] = orjson.loads(json)
    return parsed


async def compare(session: Session, counts: list[int]) -> None:
    """Compare the last messages by created_at with a plain stable sort of the whole transcript."""
    whole = views((await session.transcript()).view_json)
    want = sorted(whole, key=lambda view: view["created_at"])
    for count in counts:
        page = await session.recent(count, by_created_at=True)
        assert views(page.view_json) == want[max(0, len(want) - count) :], count
        assert page.end - page.start == len(page.messages) == min(count, len(want))
        peeked = session.peek(count, by_created_at=True)
        assert peeked is None or peeked.view_json == page.view_json


def disordered(seed: int, length: int, disorder: int) -> list[int]:
    """Times that go back by up to so many places, and repeat."""
    rand = random.Random(seed)
    return [max(0, at // 2 - rand.randint(0, disorder)) for at in range(length)]


@pytest.mark.parametrize("near_cache_bytes", [0, 2**20])
@pytest.mark.parametrize(
    ("length", "disorder"), [(10, 3), (64, 5), (200, 0), (300, 40), (300, 600)]
)
async def test_by_created_at(
    valkey_url: str, near_cache_bytes: int, length: int, disorder: int
) -> None:
    """The last messages by created_at are those of a stable sort, from ring and store alike."""
    config = CacheConfig(near_cache_bytes=near_cache_bytes)
    async with open_cache(valkey_url, config=config) as cache:
        session = cache.session("chat")
        times = disordered(length + disorder, length, disorder)
        messages = [{"n": at, "created_at": iso(time)} for at, time in enumerate(times)]
        await session.append(messages[: length // 2])
        if near_cache_bytes:
            await heat(session)
        counts = [0, 1, 2, 20, 64, 65, 500]
        for message in messages[length // 2 :]:
            await session.append(message)
        await compare(session, counts)
        if near_cache_bytes:
            await heat(session)
        await compare(session, counts)


async def test_by_created_at_after_edits(chat: Session) -> None:
    """Pops, cut heads and replacements keep the order by created_at exact."""
    times = disordered(5, 150, 90)
    sent = [
        ContractMessage("user", str(at), id=f"id{at}", created_at=iso(time))
        for at, time in enumerate(times)
    ]
    await chat.put(sent, {})
    for _ in range(30):
        await chat.pop()
    await compare(chat, [1, 10, 100])
    await chat.put(sent[40:], {})
    await compare(chat, [1, 10, 100])
    await chat.put([*sent[40:100], *sent[:5]], {})
    await compare(chat, [1, 10, 100])


async def test_times_given_by_us_do_not_go_back(chat: Session, other_cache: SessionCache) -> None:
    """A message without a time is dated after all that this process knows of the session."""
    await chat.put([ContractMessage("user", "a", created_at="2100-01-01T00:00:00Z")], {})
    await heat(chat)
    for at in range(3):
        await chat.append({"n": at})
    listed = views((await chat.transcript()).view_json)
    assert [view["created_at"] for view in listed] == sorted(view["created_at"] for view in listed)
    elsewhere = other_cache.session("chat", namespace="acme", user_id="u7")
    await compare(elsewhere, [1, 2, 3])


@pytest.mark.parametrize("time", ["1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
async def test_times_before_1970(chat: Session, time: str) -> None:
    """A contract client may date a message before 1970, in a first PUT and in one that grew."""
    sent = [ContractMessage("user", str(at), id=str(at), created_at=time) for at in range(3)]
    for end in (1, 2, 3):
        await chat.put(sent[:end], {})
    await chat.append({"n": 1})
    await compare(chat, [1, 2, 10])


async def test_end_of_time(chat: Session) -> None:
    """A message dated in the last microsecond there is leaves a session that can be written to."""
    last = "9999-12-31T23:59:59.999999Z"
    await chat.put([ContractMessage("user", "a", created_at=last)], {})
    await heat(chat)
    await chat.append([{"n": 1}, {"n": 2}])
    _, echo = await chat.put([ContractMessage("user", str(at)) for at in range(3)], {})
    assert len(views(echo.view_json)) == 3
    await chat.append({"n": 3})
    assert (await chat.transcript()).next == 4


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = (
    "0001-01-01T00:00:00.000001Z",
    "1969-12-31T23:59:59.999999Z",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.000001Z",
    "2255-06-05T23:47:34.740993Z",
    "9999-12-31T23:59:59.999999Z",
)
"""Some are more microseconds from 1970 than the doubles of a script count exactly."""


@pytest.mark.parametrize("seed", range(4))
async def test_script_and_library_lay_out_alike(valkey_url: str, seed: int) -> None:
    """What is kept beside messages is the same, whether a script or the library wrote it."""
    rand = random.Random(seed)
    sent = [
        ContractMessage("user", "x" * rand.randint(1, 4000), str(at), rand.choice(TIMES))
        for at in range(rand.randint(100, 160))
    ]
    times = [datetime.fromisoformat(message.created_at or "") - EPOCH for message in sent]
    async with open_cache(valkey_url, config=CacheConfig(near_cache_bytes=0)) as cache:
        grown, whole = cache.session("grown"), cache.session("whole")
        at = 0
        while at < len(sent):
            at += rand.randint(1, 30)
            await grown.put(sent[:at], {})
        await whole.put(sent, {})
        pages = [await session.recent(1000) for session in (grown, whole)]
    for page in pages:
        assert page.metas is not None
        assert [meta.created_at * timedelta(microseconds=1) for meta in page.metas] == times
        assert page.metas == pages[0].metas
        assert page.view_json == pages[0].view_json
