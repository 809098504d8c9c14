import asyncio
from contextlib import suppress

from library.helpers import heat, said
from memory_cache import (
    NEWEST,
    Change,
    ContractMessage,
    Page,
    Session,
    SessionCache,
    StoreError,
    TranscriptEditedError,
    VersionMismatchError,
)


def written(who: str, length: int) -> list[ContractMessage]:
    """A transcript of which each message tells who wrote it, and how long it is."""
    return [ContractMessage("user", f"{who} {length}", id=f"{who}{at}") for at in range(length)]


def assert_whole(page: Page) -> None:
    """What was read is of one transcript, and the fields are that transcript's."""
    texts = {message["content"] for message in page.messages}
    assert len(texts) <= 1
    assert page.next - page.first == page.fields.get("length", 0)
    if texts:
        assert texts == {f"{page.fields['who']} {page.fields['length']}"}


async def test_readers_never_see_two_transcripts(chat: Session, other_cache: SessionCache) -> None:
    """While transcripts are replaced, every read is of one of them, by writer and reader alike."""
    elsewhere = other_cache.session("chat", namespace="acme", user_id="u7")
    writing = True

    async def write(session: Session, who: str) -> None:
        for length in (1, 70, 130, 64, 5, 200, 63, 129, 2, 300) * 3:
            fields = {"who": who, "length": length}
            await session.put(written(who, length), fields)

    async def read(session: Session) -> None:
        while writing:
            assert_whole(await session.recent(3))
            assert_whole(await session.recent(70, consistency=NEWEST))
            assert_whole(await session.page(before=100, limit=80))
            try:
                assert_whole(await session.transcript())
                texts = [message["content"] async for message in session]
            except TranscriptEditedError:
                continue
            assert len(set(texts)) <= 1
            assert not texts or texts[0].endswith(f" {len(texts)}")

    readers = [asyncio.create_task(read(session)) for session in (chat, elsewhere)]
    await asyncio.gather(write(chat, "a"), write(elsewhere, "b"))
    writing = False
    await asyncio.gather(*readers)


async def test_nothing_is_lost_among_writers(chat: Session, other_cache: SessionCache) -> None:
    """Appends, pops and fields at the same time each happen once, in one order."""
    elsewhere = other_cache.session("chat", namespace="acme", user_id="u7")
    await chat.append(said(0))
    await heat(chat, elsewhere)
    changes: list[Change] = []
    popped = 0

    async def append(session: Session) -> None:
        changes.extend([await session.append(said(at)) for at in range(40)])

    async def pop(session: Session) -> None:
        nonlocal popped
        for _ in range(10):
            # Always overtaken by others, it gives up; then nothing was changed.
            with suppress(StoreError):
                found = await session.pop()
                popped += found is not None

    async def fields(session: Session, name: str) -> None:
        for at in range(10):
            with suppress(StoreError):
                await session.set_fields({name: at})

    await asyncio.gather(
        append(chat),
        append(elsewhere),
        pop(chat),
        pop(elsewhere),
        fields(chat, "x"),
        fields(elsewhere, "y"),
    )
    whole = await chat.transcript()
    assert len(whole.messages) == 81 - popped
    assert len({change.version for change in changes}) == 80
    nums = [change.version.num for change in changes if change.version]
    assert len(set(nums)) == 80
    for session in (chat, elsewhere):
        assert (await session.recent(100, consistency=NEWEST)).messages == whole.messages


async def test_optimistic_puts(chat: Session, other_cache: SessionCache) -> None:
    """Clients that read, add and PUT under the version that they read lose no message."""
    elsewhere = other_cache.session("chat", namespace="acme", user_id="u7")
    await chat.put([], {})

    async def client(session: Session, who: str) -> None:
        for at in range(15):
            while True:
                page = await session.transcript()
                held = [ContractMessage("user", m["content"], m["id"]) for m in page.messages]
                new = ContractMessage("user", f"{who} {at}", f"{who}{at}")
                try:
                    await session.put([*held, new], {}, if_version=page.version)
                except VersionMismatchError:
                    continue
                break

    await asyncio.gather(client(chat, "a"), client(elsewhere, "b"))
    ids = [message["id"] for message in (await chat.transcript()).messages]
    assert sorted(ids) == sorted(f"{who}{at}" for who in "ab" for at in range(15))
    for who in "ab":
        assert [id_ for id_ in ids if id_[0] == who] == [f"{who}{at}" for at in range(15)]
