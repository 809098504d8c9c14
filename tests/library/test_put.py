import asyncio
import random
from collections.abc import Callable
from datetime import datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.helpers import heat, said, several, walk
from memory_cache import (
    CacheConfig,
    ContractMessage,
    Page,
    Session,
    SessionCache,
    VersionMismatchError,
    open_cache,
)
from support.valkey import ValkeyServer
from unit.inside import assert_blocks, edits_of_stores

FIELDS = ("role", "content", "id", "created_at", "persisted_at", "discrete_memory_extracted")

lengths = st.sampled_from([0, 1, 2, 3, 63, 64, 65, 128, 129, 200, 330])


def contract(views: bytes) -> list[ContractMessage]:
    """What a client sends that brings back just what it has read."""
    return [ContractMessage(*(view[name] for name in FIELDS)) for view in orjson.loads(views)]


class Client:
    """A client of the contract that knows only GET and PUT, and another that appends and pops."""

    def __init__(self, session: Session, seed: int, length: int) -> None:
        self.session = session
        self.rand = random.Random(seed)
        self.made = 0
        self.sent = [self.new() for _ in range(length)]

    def new(self) -> ContractMessage:
        """A message nobody has sent yet, or one that many have."""
        self.made += 1
        if self.rand.random() < 0.2:
            return ContractMessage("user", "again")
        given = f"id{self.made}" if self.rand.random() < 0.5 else None
        year = self.rand.choice([2001, 2026, 2060])
        time = f"{year}-01-01T00:00:{self.made % 60:02}Z" if self.rand.random() < 0.5 else None
        return ContractMessage("user", f"message {self.made}", given, time)

    def grown(self) -> list[ContractMessage]:
        """What is to be sent, and more."""
        return [*self.sent, *(self.new() for _ in range(self.rand.choice([1, 2, 63, 64, 65])))]

    async def appended(self) -> list[ContractMessage]:
        """What there is after somebody else appended."""
        await self.session.append(several(0, self.rand.choice([1, 64])))
        return contract((await self.session.transcript()).view_json)

    async def edit(self, name: str) -> None:
        """Change what is to be sent next, or the session itself."""
        if name == "append":
            self.sent = await self.appended()
        elif name == "pop":
            await self.session.pop()
        else:
            self.sent = EDITS[name](self, self.rand.randrange(len(self.sent) + 1))


def edited(client: Client, at: int) -> list[ContractMessage]:
    """What is to be sent, with one message changed."""
    some = client.sent[at : at + 1]
    return [
        *client.sent[:at],
        *(message._replace(content="edited") for message in some),
        *client.sent[at + 1 :],
    ]


EDITS: dict[str, Callable[[Client, int], list[ContractMessage]]] = {
    "grow": lambda client, _: client.grown(),
    "same": lambda client, _: client.sent,
    "shrink": lambda client, at: client.sent[:at],
    "edit": edited,
    "reorder": lambda client, _: client.rand.sample(client.sent, len(client.sent)),
    "cut head": lambda client, at: client.sent[at:],
    "cut head and grow": lambda client, at: client.grown()[at:],
    "drop ids": lambda client, _: [message._replace(id=None) for message in client.sent],
    "drop some ids": lambda client, _: [
        client.rand.choice([message, message._replace(id=None)]) for message in client.sent
    ],
    "drop times": lambda client, _: [
        message._replace(id=None, created_at=None) for message in client.sent
    ],
    "repeat": lambda client, at: [*client.sent, *client.sent[at:]],
    "insert": lambda client, at: [*client.sent[:at], client.new(), *client.sent[at:]],
    "empty": lambda *_: [],
}

scripts = st.lists(st.sampled_from([*EDITS, "append", "pop"]), min_size=1, max_size=5)


async def put_and_check(client: Client, fields: dict[str, object]) -> Page:
    """PUT what the client means to send, and compare all there is to compare."""
    session, sent = client.session, client.sent
    before = orjson.loads((await session.transcript()).view_json)
    change, echo = await session.put(sent, fields)
    held = contract(echo.view_json)
    assert len(held) == len(sent)
    for got, given_ in zip(held, sent, strict=True):
        assert got.id
        assert got.created_at
        want = given_._replace(
            id=given_.id or got.id, created_at=given_.created_at or got.created_at
        )
        assert got == want
    whole = await session.transcript()
    assert whole.view_json == echo.view_json
    assert whole.fields == fields == echo.fields
    assert whole.version == change.version == echo.version
    assert (whole.start, whole.end) == (change.first, change.next)
    assert whole.end - whole.start == len(sent)
    assert_numbers(whole)
    kept = unchanged(before, sent)
    assert orjson.loads(echo.view_json)[:kept] == before[:kept]
    await assert_order(session, whole)
    await assert_blocks(session, whole)
    assert await walk(session, 100) == whole.messages
    assert [message async for message in session] == whole.messages
    return whole


async def assert_order(session: Session, whole: Page) -> None:
    """The last messages by created_at are the end of a stable sort, straight from the store."""
    want = sorted(
        orjson.loads(whole.view_json), key=lambda v: datetime.fromisoformat(v["created_at"])
    )
    for count in (1, 20, 70):
        page = await session.recent(count, by_created_at=True)
        assert orjson.loads(page.view_json) == want[-count:]


def assert_numbers(whole: Page) -> None:
    """The sums in the header are those of the messages."""
    assert whole.header is not None
    bodies = [line for chunk in whole.bodies for line in chunk.split(b"\n")]
    assert whole.header.size == sum(map(len, bodies))
    views = orjson.loads(whole.view_json)
    texts = [f"{view['role']}: {view['content']}" for view in views]
    assert whole.token_count == sum(max(1, -(-len(text) // 4)) for text in texts)


def unchanged(before: list[dict[str, str]], sent: list[ContractMessage]) -> int:
    """How many leading messages bring back what was there."""
    for at, (held, message) in enumerate(zip(before, sent, strict=False)):
        given_ = {name: value for name, value in message._asdict().items() if value is not None}
        given_["discrete_memory_extracted"] = given_.pop("extracted")
        if any(held[name] != value for name, value in given_.items()) or (
            held["persisted_at"] != message.persisted_at
        ):
            return at
    return min(len(before), len(sent))


@settings(max_examples=60)
@given(scripts, lengths, st.integers(0, 2**32))
async def test_any_edits(valkey: ValkeyServer, script: list[str], length: int, seed: int) -> None:
    """Whatever was edited, a PUT leaves just what was sent; what came back equal is kept."""
    async with open_cache(valkey.url, config=CacheConfig(near_cache_bytes=0)) as cache:
        session = cache.session("put")
        await session.delete()
        client = Client(session, seed, length)
        whole = await put_and_check(client, {"n": -1})
        for at, name in enumerate(script):
            if client.rand.random() < 0.7:
                client.sent = contract(whole.view_json)
            await client.edit(name)
            whole = await put_and_check(client, {"n": at})
        want = whole.messages
        while want and client.rand.random() < 0.7:
            assert await session.pop() == want.pop()
        await session.append(several(0, 70))
        end = await session.transcript()
        await assert_order(session, end)
        assert end.messages == want + several(0, 70)
        assert_numbers(end)


async def test_equal_messages_keep_what_they_were_given(chat: Session) -> None:
    """A PUT that grew without ids keeps the ids and times of before."""
    texts = [ContractMessage("user", str(at)) for at in range(100)]
    _, first = await chat.put(texts[:70], {})
    change, second = await chat.put(texts, {})
    assert (change.start, change.end) == (70, 100)
    held = orjson.loads(first.view_json)
    assert orjson.loads(second.view_json)[:70] == held
    await heat(chat)
    assert (await chat.recent(100)).view_json == second.view_json


async def test_fields_only(chat: Session) -> None:
    """A PUT of the same messages changes no message, and counts as no edit."""
    _, first = await chat.put([ContractMessage("user", str(at)) for at in range(130)], {"a": 1})
    sent = contract(first.view_json)
    change, second = await chat.put(sent, {"a": 2})
    assert change.start == change.end == 130
    assert second.view_json == first.view_json
    assert first.header is not None
    assert second.header is not None
    assert second.header.edits == first.header.edits
    assert (await chat.recent(1)).fields == {"a": 2}


async def test_cut_head_moves_first(chat: Session) -> None:
    """A transcript that lost its head and grew keeps the seqs and bytes of what is left."""
    _, page = await chat.put([ContractMessage("user", str(at)) for at in range(200)], {})
    sent = contract(page.view_json)
    change, echo = await chat.put([*sent[70:], ContractMessage("user", "new")], {})
    assert (change.first, change.next) == (70, 201)
    assert contract(echo.view_json)[:-1] == sent[70:]
    whole = await chat.transcript()
    assert (whole.first, whole.start, whole.end) == (70, 70, 201)
    assert (await chat.page(before=72)).messages == whole.messages[:2]
    assert (await chat.recent(1000)).messages == whole.messages
    assert await chat.pop() == whole.messages[-1]


async def test_view_brought_back_keeps_the_message(chat: Session) -> None:
    """A contract client that reads and PUTs back leaves messages of the library as they are."""
    messages = [{"role": "user", "content": [{"text": f"part {at}"}], "n": at} for at in range(150)]
    await chat.append(messages)
    sent = contract((await chat.transcript()).view_json)
    await chat.put([*sent, ContractMessage("user", "new")], {})
    assert (await chat.transcript()).messages[:150] == messages
    await chat.put([*sent[:80], sent[80]._replace(content="x"), *sent[81:]], {})
    assert (await chat.transcript()).messages[:80] == messages[:80]


async def test_edit_leaves_equal_blocks_alone(
    chat: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit of early messages rewrites their blocks and the last one, and no block between."""
    edits = edits_of_stores(monkeypatch)
    times = [f"2026-01-01T00:{at // 60:02}:{at % 60:02}Z" for at in range(710)]
    sent = [ContractMessage("user", f"message {at}", f"id{at}", times[at]) for at in range(710)]
    ours = {"role": "user", "content": "of the library", "x": 1, "created_at": times[0]}
    await chat.append([ours] * 3)
    sent[:0] = contract((await chat.transcript()).view_json)
    await chat.put(sent[:650], {})
    sent[70] = sent[70]._replace(content="another")
    sent[75] = sent[75]._replace(id=None)
    sent[300] = sent[300]._replace(content="another, too", extracted="t")
    change, echo = await chat.put(sent, {})
    assert (change.start, change.end) == (70, 713)
    assert edits.pop() & {f"b{n}" for n in range(11)} == {"b1", "b4", "b10"}
    held = await chat.transcript()
    assert held.view_json == echo.view_json
    assert contract(held.view_json) == [*sent[:75], sent[75]._replace(id="id72"), *sent[76:]]
    assert_numbers(held)
    await assert_order(chat, held)
    await assert_blocks(chat, held)
    # What is behind it knows the largest time before it, so one that grows rewrites all of it.
    later = sent[70]._replace(created_at=times[-1])
    await chat.put([*sent[:70], later, *sent[71:]], {})
    assert {f"b{n}" for n in range(1, 10)} <= edits.pop()
    held = await chat.transcript()
    await assert_order(chat, held)
    await assert_blocks(chat, held)


async def test_put_over_hot_session_is_seen(chat: Session, other_cache: SessionCache) -> None:
    """A PUT is read at once by the process that made it, and soon by a hot one elsewhere."""
    elsewhere = other_cache.session("chat", namespace="acme", user_id="u7")
    await chat.append(said(0))
    await heat(chat, elsewhere)
    _, echo = await chat.put([ContractMessage("user", "a")], {"x": 1})
    assert (await chat.recent(5)).view_json == echo.view_json
    await heat(elsewhere)
    assert (await elsewhere.recent(5)).view_json == echo.view_json


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 128, 130])
async def test_shrink_to_each_bound(chat: Session, length: int) -> None:
    """A transcript may shrink to any length and grow from there, to the same sums."""
    _, page = await chat.put([ContractMessage("user", str(at)) for at in range(130)], {})
    sent = contract(page.view_json)
    await chat.put(sent[:length], {})
    await chat.append(several(0, 3))
    whole = await chat.transcript()
    assert contract(whole.view_json)[:length] == sent[:length]
    assert whole.messages[length:] == several(0, 3)
    assert_numbers(whole)


@pytest.mark.parametrize("length", [5000])
async def test_equal_messages_cost_no_more(chat: Session, length: int) -> None:
    """A PUT that cannot be told from a cut head message by message does not take for ever."""
    same = [ContractMessage("user", "same")] * (length - 2)
    first, last = ContractMessage("user", "first"), ContractMessage("user", "same")
    other = ContractMessage("user", "other")
    await chat.put([first, *same[:2000], other, *same[2000:], last], {})
    async with asyncio.timeout(5):
        _, echo = await chat.put([last, *same, last], {})
    assert {message.content for message in contract(echo.view_json)} == {"same"}


def scripts_run(server: ValkeyServer) -> int:
    """How many scripts the server has run."""
    with server.admin as admin:
        counted = admin.info("commandstats")
    return int(counted["cmdstat_evalsha"]["calls"])


async def test_put_that_grew_by_what_memory_holds(valkey: ValkeyServer, valkey_url: str) -> None:
    """A PUT that continues what the near cache holds whole is one script, whoever else writes."""
    config = CacheConfig(staleness_seconds=600, sweep_seconds=600)
    sent = [ContractMessage("user", str(at)) for at in range(100)]
    async with open_cache(valkey_url, config=config) as cache:
        chat = cache.session("chat")
        await chat.put(sent[:3], {})
        await heat(chat)
        for count in range(4, 100):
            before = scripts_run(valkey)
            change, page = await chat.put(sent[:count], {})
            assert scripts_run(valkey) == before + 1
            assert (change.start, change.end) == (count - 1, count)
            assert contents(page) == [str(at) for at in range(count)]
        # What memory holds is behind by now: it is noticed, and nothing is lost or doubled.
        async with open_cache(valkey_url) as other:
            theirs = other.session("chat")
            await theirs.append(said(0))
        await chat.put(sent, {})
        assert contents(await chat.transcript()) == [message.content for message in sent]


def contents(page: Page) -> list[str]:
    """What the messages of a page say."""
    return [view["content"] for view in orjson.loads(page.view_json)]


async def test_put_that_names_two_versions(chat: Session) -> None:
    """What is known of one version is not put on another: nothing changes."""
    first, _ = await chat.put([ContractMessage("user", "a")], {})
    old = await chat.put_record()
    await chat.append(said(1))
    new = await chat.put_record()
    assert old is not None
    assert new is not None
    for known, version in ((new[0], first.version), (old[0], new[0].header.version)):
        with pytest.raises(VersionMismatchError):
            await chat.put([], {"a": 1}, known=known, if_version=version)
    page = await chat.transcript()
    assert (page.version, page.next) == (new[0].header.version, 2)
