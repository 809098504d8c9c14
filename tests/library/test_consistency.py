import asyncio

import pytest

from library.helpers import heat, said, several, until
from memory_cache import (
    BOUNDED,
    NEWEST,
    Session,
    SessionCache,
    Tier,
    Version,
    VersionLostError,
    at_least,
)


@pytest.fixture
def elsewhere(other_cache: SessionCache) -> Session:
    """The same session as `chat`, by another worker."""
    return other_cache.session("chat", namespace="acme", user_id="u7")


@pytest.mark.parametrize("hot", [False, True])
async def test_reads_its_own_writes(cache: SessionCache, chat: Session, hot: bool) -> None:
    """Whatever a process has written it reads at once, by any handle, hot or cold."""
    await chat.append(said(0))
    if hot:
        await heat(chat)
    again = cache.session("chat", namespace="acme", user_id="u7")
    want = [said(0)]
    for at in range(1, 150):
        want.append(said(at))
        await chat.append(said(at))
        assert (await again.recent(2)).messages == want[-2:]
        if at % 10 == 0:
            want.pop()
            await chat.pop()
            assert (await again.recent(2)).messages == want[-2:]
        if at % 40 == 0:
            want = [said(at)]
            await chat.replace(want)
            assert (await again.recent(2)).messages == want
    await chat.set_fields({"a": 1})
    assert (await again.recent(1)).fields == {"a": 1}
    await chat.delete()
    assert not (await again.recent(1)).exists


async def test_own_writes_at_the_same_time(chat: Session) -> None:
    """A write that returned is in every read that begins afterwards, under concurrency."""
    await chat.append(said(0))
    await heat(chat)

    async def write_and_read(at: int) -> None:
        change = await chat.append(said(at))
        assert (await chat.recent(1)).next >= change.next
        page = await chat.recent(100)
        assert said(at) in page.messages

    await asyncio.gather(*(write_and_read(at) for at in range(1, 60)))
    assert (await chat.transcript()).next == 60


@pytest.mark.parametrize("hot", [False, True])
async def test_newest_elsewhere(chat: Session, elsewhere: Session, hot: bool) -> None:
    """A read of the newest has every change that another worker had acknowledged before."""
    await chat.append(said(0))
    if hot:
        await heat(elsewhere)
    for at in range(1, 40):
        await chat.append(said(at))
        page = await elsewhere.recent(1, consistency=NEWEST)
        assert page.messages == [said(at)]
    await chat.pop()
    assert (await elsewhere.recent(1, consistency=NEWEST)).messages == [said(38)]
    assert (await elsewhere.page(limit=1, consistency=NEWEST)).messages == [said(38)]
    await chat.delete()
    assert not (await elsewhere.recent(1, consistency=NEWEST)).exists


async def test_newest_may_come_from_the_near_cache(chat: Session, elsewhere: Session) -> None:
    """A hot session answers a read of the newest after one fence, without the store."""
    await chat.append(said(0))
    await heat(elsewhere)
    page = await elsewhere.recent(1, consistency=NEWEST)
    assert page.tier is Tier.NEAR


async def latest_of(chat: Session) -> Version:
    """The version the store has."""
    version = (await chat.transcript()).version
    assert version is not None
    return version


@pytest.mark.parametrize("hot", [False, True])
async def test_at_least_elsewhere(chat: Session, elsewhere: Session, hot: bool) -> None:
    """A read with a version has that change, on another worker, in every way to read."""
    await chat.append(said(0))
    if hot:
        await heat(elsewhere)
    for at in range(1, 40):
        version = (await chat.append(said(at))).version
        assert version is not None
        page = await elsewhere.recent(1, consistency=at_least(str(version)))
        assert page.messages == [said(at)]
        assert page.version == version
    asked = at_least(await latest_of(chat))
    assert (await elsewhere.transcript(consistency=asked)).next == 40
    assert (await elsewhere.page(before=5, consistency=asked)).next == 40
    assert (await elsewhere.window(1, consistency=asked)).next == 40


async def test_reads_with_versions_are_counted_once(
    other_cache: SessionCache, chat: Session, elsewhere: Session
) -> None:
    """A read that had to wait for its version is one read, a hit or a miss."""
    await chat.append(said(0))
    await heat(elsewhere)
    before = other_cache.statistics().reads
    for at in range(30):
        version = (await chat.append(said(at))).version
        assert version is not None
        await elsewhere.recent(1, consistency=at_least(version))
    assert other_cache.statistics().reads - before == 30


@pytest.mark.parametrize("hot", [False, True])
async def test_version_that_is_lost(chat: Session, hot: bool) -> None:
    """A version that is in no history of the session is an error, never an older answer."""
    version = (await chat.append(said(0))).version
    assert version is not None
    if hot:
        await heat(chat)
    for lost in (
        Version("0" * 16, version.era, 1, version.tag),
        Version(version.inc, version.era, 1, "0" * 16),
        Version(version.inc, version.era, 2, "0" * 16),
    ):
        for read in (
            chat.recent(1, consistency=at_least(lost)),
            chat.transcript(consistency=at_least(lost)),
            chat.page(after=0, consistency=at_least(lost)),
            chat.window(5, consistency=at_least(lost)),
        ):
            with pytest.raises(VersionLostError):
                await read


async def test_version_of_an_earlier_session(chat: Session) -> None:
    """The version of a session that was deleted and made again is lost."""
    version = (await chat.append(said(0))).version
    assert version is not None
    await chat.delete()
    await chat.append(said(1))
    with pytest.raises(VersionLostError):
        await chat.recent(1, consistency=at_least(version))


def test_at_least_of_garbage() -> None:
    """A text that is no version is a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  # its message is of no use
        at_least("garbage")


async def test_bounded_elsewhere_follows(chat: Session, elsewhere: Session) -> None:
    """A hot worker hears of another's appends and edits without asking the store."""
    await chat.append(several(0, 3))
    await heat(elsewhere)
    version = (await chat.append(said(3))).version

    async def heard() -> bool:
        return (await elsewhere.recent(4, consistency=BOUNDED)).version == version

    await until(heard)
    page = elsewhere.peek(4)
    assert page is not None
    assert page.messages == several(0, 4)
