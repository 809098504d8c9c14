import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer, Memory
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import create_async_engine

from memory_cache import SessionCache, open_cache
from memory_cache.adapters.llama_index import MemoryCacheChatStore
from support.valkey import ValkeyServer

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED


def said(at: int) -> ChatMessage:
    """A message that tells its position, with a block of another kind now and then."""
    blocks: list[Any] = [TextBlock(text=f"message {at} 👋")]
    if at % 3 == 0:
        blocks.append(ToolCallBlock(tool_call_id=f"c{at}", tool_name="f", tool_kwargs={"a": None}))
    if at % 5 == 0:
        blocks.append(ImageBlock(image=b"QUJD", image_mimetype="image/png"))
    return ChatMessage(role="user", blocks=blocks, additional_kwargs={"at": at, "n": None})


def dumped(messages: list[ChatMessage]) -> list[dict[str, Any]]:
    """Messages as plain values."""
    return [message.model_dump(mode="json") for message in messages]


def at(messages: list[ChatMessage]) -> list[int]:
    """The positions that messages tell."""
    return [message.additional_kwargs["at"] for message in messages]


async def test_two_workers(cache: SessionCache, other_cache: SessionCache) -> None:
    """Of two workers that add and archive at once no message is lost, doubled or archived twice."""
    stores = [MemoryCacheChatStore(each) for each in (cache, other_cache)]
    await stores[0].add_messages("k", [said(each) for each in range(60)])
    adding = asyncio.gather(
        *(stores[each % 2].add_message("k", said(each)) for each in range(60, 80))
    )
    archiving = (stores[each % 2].archive_oldest_messages("k", 3) for each in range(20))
    archived = await asyncio.gather(*archiving)
    await adding
    moved = [each for some in archived for each in at(some)]
    assert len(moved) == 60
    for store in stores:
        assert sorted(moved) == sorted(at(await store.get_messages("k", ARCHIVED)))
        every = at(await store.get_messages("k", None))
        assert sorted(every) == list(range(80))
        assert at(await store.get_messages("k")) == [each for each in every if each not in moved]


@pytest.fixture
async def reference() -> AsyncIterator[SQLAlchemyChatStore]:
    """LlamaIndex's own store, over SQLite in memory."""
    async with in_memory() as store:
        yield store


@asynccontextmanager
async def in_memory() -> AsyncIterator[SQLAlchemyChatStore]:
    """LlamaIndex's own store, which has no way to be closed, closed in the end."""
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    try:
        yield SQLAlchemyChatStore(table_name="t", async_engine=engine)
    finally:
        await engine.dispose()


async def test_memory(
    cache: SessionCache, other_cache: SessionCache, reference: SQLAlchemyChatStore
) -> None:
    """LlamaIndex's own `Memory` keeps to its token limit, and goes on on another worker."""
    stores: list[AsyncDBChatStore] = [MemoryCacheChatStore(each) for each in (cache, other_cache)]
    for turn in range(40):
        for store in (stores[turn % 2], reference):
            memory = Memory.from_defaults(
                session_id="k",
                chat_store=store,
                token_limit=200,
                chat_history_token_ratio=0.5,
                token_flush_size=40,
                tokenizer_fn=str.split,
            )
            role = "user" if turn % 2 == 0 else "assistant"
            await memory.aput(ChatMessage(role=role, content="some words " * 8))
        ours, theirs = [await store.get_messages("k") for store in (stores[0], reference)]
        assert dumped(ours) == dumped(theirs)
    assert dumped(await stores[0].get_messages("k", None)) == dumped(
        await reference.get_messages("k", None)
    )
    assert await stores[0].count_messages("k", ARCHIVED) > 0


def test_memory_that_is_not_awaited(valkey_url: str) -> None:
    """LlamaIndex's own `Memory`, called where no event loop runs, or one that it starts itself."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    store = MemoryCacheChatStore.from_url(valkey_url)
    for _ in range(2):
        memory = Memory.from_defaults(session_id="k", chat_store=store, tokenizer_fn=str.split)
        memory.put(said(1))
        memory.put(said(2))
    assert at(memory.get()) == [1, 2, 1, 2]
    loop.run_until_complete(store.close())
    asyncio.set_event_loop(None)
    loop.close()


async def test_other_memories(cache: SessionCache) -> None:
    """What the page says that it is not for is refused at once, not later and not for ever."""
    store = MemoryCacheChatStore(cache)
    for other in (ChatMemoryBuffer, ChatSummaryMemoryBuffer):
        with pytest.raises(ValidationError, match="BaseChatStore"):
            other.from_defaults(chat_store=store, tokenizer_fn=str.split)  # type: ignore[arg-type, unused-ignore]
    memory = Memory.from_defaults(session_id="k", chat_store=store, tokenizer_fn=str.split)
    with pytest.raises(RuntimeError, match="nested async"):
        memory.put(said(1))


async def test_delete_message(cache: SessionCache) -> None:
    """A message is deleted by its position, and what is archived stays so."""
    store = MemoryCacheChatStore(cache)
    await store.add_messages("k", [said(each) for each in range(6)])
    await store.archive_oldest_messages("k", 3)
    assert await store.delete_message("k", 1) == said(1)
    assert await store.delete_message("k", 5) is None
    assert await store.delete_message("k", -1) is None
    assert at(await store.get_messages("k", ARCHIVED)) == [0, 2]
    assert at(await store.get_messages("k")) == [3, 4, 5]


@pytest.mark.parametrize("idx", [-1, -5, -6, 6, 10**18])
async def test_delete_nothing(cache: SessionCache, idx: int) -> None:
    """A position that there is not deletes nothing."""
    store = MemoryCacheChatStore(cache)
    await store.add_messages("k", [said(each) for each in range(6)])
    assert await store.delete_message("k", idx) is None
    assert at(await store.get_messages("k")) == [*range(6)]


async def test_negative_numbers(cache: SessionCache) -> None:
    """A limit below 0 is none, as in LlamaIndex's own, an offset 0; a number to take is 0."""
    store = MemoryCacheChatStore(cache)
    await store.add_messages("k", [said(each) for each in range(6)])
    assert at(await store.get_messages("k", limit=-1, offset=-3)) == [*range(6)]
    assert await store.archive_oldest_messages("k", -1) == []
    assert await store.delete_oldest_messages("k", -1) == []
    assert at(await store.get_messages("k")) == [*range(6)]


async def test_archived_in_the_middle(cache: SessionCache) -> None:
    """All active messages are read, also those before one that was added as archived."""
    store = MemoryCacheChatStore(cache)
    await store.add_messages("k", [said(each) for each in range(80)])
    await store.add_message("k", said(80), ARCHIVED)
    await store.add_messages("k", [said(each) for each in range(81, 161)])
    assert at(await store.get_messages("k")) == [each for each in range(161) if each != 80]


async def test_edits_at_once(cache: SessionCache, other_cache: SessionCache) -> None:
    """Of two workers that add and delete at once no message is lost, or deleted twice."""
    stores = [MemoryCacheChatStore(each) for each in (cache, other_cache)]
    await stores[0].add_messages("k", [said(each) for each in range(20)])
    adding = (stores[each % 2].add_message("k", said(each)) for each in range(20, 60))
    deleting = (stores[each % 2].delete_oldest_messages("k", 1) for each in range(10))
    *_, gone = await asyncio.gather(asyncio.gather(*adding), asyncio.gather(*deleting))
    assert [each for some in gone for each in at(some)] != []
    taken = {each for some in gone for each in at(some)}
    assert len(taken) == 10
    assert {*at(await stores[0].get_messages("k"))} == {*range(60)} - taken


async def test_deleting_all_but_what_is_added(
    cache: SessionCache, other_cache: SessionCache
) -> None:
    """A message that is added while all are deleted is deleted with them or stays: no third."""
    one, other = (MemoryCacheChatStore(each) for each in (cache, other_cache))
    for turn in range(30):
        await one.add_message("k", said(0))
        deleting = asyncio.ensure_future(one.delete_oldest_messages("k", 9))
        for _ in range(turn % 6):
            await asyncio.sleep(0)
        await other.add_message("k", said(1))
        gone = at(await deleting)
        assert [*gone, *at(await one.get_messages("k"))] == [0, 1]
        await one.delete_messages("k")


async def test_time_to_live_and_fields(cache: SessionCache) -> None:
    """A key lives as long as was said; what others keep beside its messages stays."""
    store = MemoryCacheChatStore(cache, ttl_seconds=60)
    for key, way in (("a", store.add_messages), ("b", store.set_messages)):
        await way(key, [said(1), said(2)])
        chat = cache.session(key, namespace="llama-index")
        assert (await chat.recent(0)).ttl_seconds == 60
        await chat.set_fields({"theirs": 1})
        await store.delete_message(key, 0)
        assert (await chat.recent(0)).fields["theirs"] == 1
        assert (await chat.recent(0)).ttl_seconds == 60


async def test_keys_of_others(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are those of the namespace, one without a name too, whatever pages they come in."""
    monkeypatch.setattr("memory_cache.adapters._source._PAGE", 2)
    for namespace in ("", "llama-index"):
        store = MemoryCacheChatStore(cache, namespace=namespace)
        for key in "abcde":
            await store.add_message(key + namespace, said(1))
        await cache.session("x", namespace=namespace, user_id="u").append({"role": "user"})
        assert sorted(await store.get_keys()) == sorted(key + namespace for key in "abcde")


async def test_from_url(valkey_url: str) -> None:
    """A store of a URL opens its cache at first use and lists the keys of its namespace."""
    store = MemoryCacheChatStore.from_url(valkey_url)
    for key in ("a", "b"):
        await store.add_message(key, said(1))
    await store.delete_messages("b")
    assert await store.get_keys() == ["a"]
    await store.close()


STATUS = st.sampled_from([ACTIVE, ACTIVE, ACTIVE, ARCHIVED])
ANY = st.sampled_from([None, ACTIVE, ARCHIVED])
SMALL = st.integers(0, 12)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add_messages"), st.tuples(st.integers(1, 80), STATUS)),
        st.tuples(st.just("add_message"), st.tuples(st.just(1), STATUS)),
        st.tuples(st.just("set_messages"), st.tuples(st.integers(0, 80), STATUS)),
        st.tuples(st.just("get_messages"), st.tuples(ANY, st.none() | SMALL, st.none() | SMALL)),
        st.tuples(st.just("count_messages"), st.tuples(ANY)),
        st.tuples(st.just("delete_messages"), st.tuples(ANY)),
        st.tuples(st.just("delete_oldest_messages"), st.tuples(SMALL)),
        st.tuples(st.just("archive_oldest_messages"), st.tuples(st.integers(0, 100))),
        st.tuples(st.just("get_keys"), st.tuples()),
    ),
    max_size=12,
)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(["k", "l"]), min_size=12, max_size=12), OPERATIONS)
def test_as_llama_index_s_own(
    valkey: ValkeyServer, keys: list[str], operations: list[tuple[str, Any]]
) -> None:
    """Whatever is done, every answer is that of LlamaIndex's own store over SQLite in memory."""
    asyncio.run(compare(valkey.url, list(zip(keys, operations, strict=False))))


async def compare(url: str, operations: list[tuple[str, Any]]) -> None:
    """Do the same to both, and compare every answer and what is left."""
    counter = 0
    ends = [(key, ("get_messages", (None, None, None))) for key in ("k", "l")]
    async with open_cache(url) as cache, in_memory() as reference:
        ours = MemoryCacheChatStore(cache, namespace=uuid4().hex)
        for key, (name, given) in [*operations, *ends, ("", ("get_keys", ()))]:
            arguments = list(given)
            if name in {"add_messages", "set_messages", "add_message"}:
                sent = [said(counter + each) for each in range(given[0])]
                arguments[0] = sent[0] if name == "add_message" else sent
                counter += given[0]
            if name != "get_keys":
                arguments.insert(0, key)
            answers = [await getattr(store, name)(*arguments) for store in (ours, reference)]
            assert plain(answers[0]) == plain(answers[1]), name


def plain(answer: Any) -> Any:  # noqa: ANN401
    """What can be compared."""
    if isinstance(answer, list) and answer and isinstance(answer[0], ChatMessage):
        return dumped(answer)
    return sorted(answer) if isinstance(answer, list) else answer
