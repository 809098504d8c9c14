import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pydantic_ai.conversation_store")

from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

from memory_cache import DamagedSessionError, SessionCache, open_cache
from memory_cache.adapters.pydantic_ai import MemoryCacheConversationStore
from support.valkey import ValkeyServer

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def message(at: int) -> ModelMessage:
    """A message that tells its position, of one kind or another."""
    if at % 2 == 0:
        image = BinaryContent(data=b"\xff\x00", media_type="image/png")
        prompt = UserPromptPart(content=[f"message {at} 👋", image], timestamp=NOON)
        result = ToolReturnPart(tool_name="f", content=None, tool_call_id="c", timestamp=NOON)
        return ModelRequest(parts=[prompt, result], timestamp=NOON)
    call = ToolCallPart(tool_name="f", args={"x": None, "at": at}, tool_call_id="c")
    return ModelResponse(
        parts=[ThinkingPart(content="hm", signature="s"), TextPart(content=f"{at}"), call],
        timestamp=NOON,
    )


def several(start: int, end: int) -> list[ModelMessage]:
    """Messages that tell their positions."""
    made = [message(at) for at in range(start, end)]
    # Once through JSON: of an image Pydantic AI makes an object of another class then.
    return ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json(made))


async def test_conversation_comes_back_equal(
    cache: SessionCache, other_cache: SessionCache
) -> None:
    """Messages of every kind, usage and deferred requests come back on another worker."""
    deferred = DeferredToolRequests(approvals=[ToolCallPart(tool_name="f", tool_call_id="c")])
    sent = Conversation(
        conversation_id="s",
        messages=several(0, 9),
        usage=RunUsage(requests=2, input_tokens=3),
        deferred_tool_requests=deferred,
    )
    await MemoryCacheConversationStore(cache).save(sent, scope="me")
    other = MemoryCacheConversationStore(other_cache)
    assert await other.load("s", scope="me") == sent
    assert await other.load("s", scope="you") is None


async def test_only_one_of_many_saves(cache: SessionCache, other_cache: SessionCache) -> None:
    """Of many who save the same revision at once one is through, with its messages alone."""
    stores = [MemoryCacheConversationStore(each) for each in (cache, other_cache)]
    await stores[0].save(Conversation(conversation_id="s", messages=several(0, 2)))
    copies = [await stores[at % 2].load("s") for at in range(12)]
    for at, copy in enumerate(copies):
        assert copy is not None
        copy.messages.extend(several(100 + at, 101 + at))
    saves = [stores[at % 2].save(copy) for at, copy in enumerate(copies) if copy is not None]
    results = await asyncio.gather(*saves, return_exceptions=True)
    through = [at for at, result in enumerate(results) if isinstance(result, list)]
    assert len(through) == 1
    assert all(isinstance(each, ConversationConflict | list) for each in results)
    for store in stores:
        assert await store.load("s") == copies[through[0]]


async def test_forks_share_entries(cache: SessionCache, other_cache: SessionCache) -> None:
    """A fork has the entries of its source under their ids, and outlives it; so does the source."""
    store = MemoryCacheConversationStore(cache)
    conversation = Conversation(conversation_id="s", messages=several(0, 300))
    await store.save(conversation)
    await store.fork("s", at=200, new_conversation_id="t")
    await store.fork("t", at=100, new_conversation_id="u")
    mine, forked, twice = [await store.load_entries(each) for each in "stu"]
    assert mine is not None
    assert (forked, twice) == (mine[:200], mine[:100])
    await store.delete("s")
    await store.delete("t")
    other = MemoryCacheConversationStore(other_cache)
    assert await other.load_entries("u") == mine[:100]
    assert await other.read_entry(mine[50].id) == mine[50]
    for gone in (mine[100], mine[299]):
        with pytest.raises(KeyError):
            await other.read_entry(gone.id)
    assert await other.load("s") is None


async def test_entry_of_another_process(cache: SessionCache, other_cache: SessionCache) -> None:
    """A history is found by an entry's id alone, by a worker that has read nothing before."""
    store = MemoryCacheConversationStore(cache)
    for name in ("a", "b", "c"):
        await store.save(Conversation(conversation_id=name, messages=several(0, 150)))
    entries = await store.load_entries("b")
    assert entries is not None
    other = MemoryCacheConversationStore(other_cache)
    assert await other.read_history(entries[99].id, limit=3) == entries[97:100]


def entries(*ids: str, after: str | None = None) -> list[ConversationEntry]:
    """A chain of entries with these ids."""
    parents = [after, *ids]
    return [
        ConversationEntry(id=each, parent_id=parents[at], message=several(at, at + 1)[0])
        for at, each in enumerate(ids)
    ]


def record(head: str | None, revision: str, **more: Any) -> ConversationRecord:  # noqa: ANN401
    """What is kept of the conversation `s` when it ends in an entry."""
    return ConversationRecord(
        conversation_id="s", head_id=head, revision=revision, updated_at=NOON, **more
    )


async def test_primitives(cache: SessionCache) -> None:
    """A wrong revision, and an entry that is nowhere, are conflicts, and change nothing."""
    twin = Twin(MemoryCacheConversationStore(cache))

    async def conflicts(name: str, *given: Any, **named: Any) -> None:  # noqa: ANN401
        with pytest.raises(ConversationConflict):
            await twin.both(name, *given, **named)

    await conflicts("write_record", record(None, "1"), expected_revision="0")
    await conflicts("write_record", record("nowhere", "1"), expected_revision=None)
    await conflicts("delete_record", "s", expected_revision="1")
    await twin.write_record(record("b", "1"), new_entries=entries("a", "b"), expected_revision=None)
    for wrong in (None, "0"):
        added = entries("x", after="b")
        await conflicts(
            "write_record", record("x", "2"), new_entries=added, expected_revision=wrong
        )
    await conflicts("write_record", record("nowhere", "2"), expected_revision="1")
    await conflicts("delete_record", "s", expected_revision="0")
    await twin.write_record(
        record("c", "2"), new_entries=entries("c", after="b"), expected_revision="1"
    )
    await twin.write_record(record("a", "3", branches=["c"]), expected_revision="2")
    assert [each.id for each in await twin.read_history("c")] == ["a", "b", "c"]
    assert [each.id for each in await twin.read_history("a", limit=5)] == ["a"]
    for limit in (0, 1, 2):
        assert len(await twin.read_history("c", limit=limit)) == limit
    with pytest.raises(KeyError):
        await twin.read_entry("x")
    await twin.delete_record("s", expected_revision="3")
    assert await twin.read_record("s") is None


async def test_old_entries_of_a_long_log(cache: SessionCache) -> None:
    """An entry far back in a long log is found, and what is asked for up to it."""
    store = MemoryCacheConversationStore(cache, ttl_seconds=60)
    await store.save(Conversation(conversation_id="s", messages=several(0, 700)))
    kept = await store.load_entries("s")
    assert kept is not None
    for at in (0, 5, 300, 699):
        assert await store.read_history(kept[at].id, limit=3) == kept[max(at - 2, 0) : at + 1]
        assert await store.read_entry(kept[at].id) == kept[at]
    assert (await cache.session("s", namespace="pydantic-ai").recent(0)).ttl_seconds == 60


async def test_newest_records(cache: SessionCache) -> None:
    """Of many records as many are listed as are asked for, the one saved last first."""
    store = MemoryCacheConversationStore(cache)
    for name in "abcd":
        await store.save(Conversation(conversation_id=name, messages=several(0, 1)))
    assert [each.conversation_id for each in await store.read_records(limit=2)] == ["d", "c"]


async def test_delete_or_save(cache: SessionCache, other_cache: SessionCache) -> None:
    """Of one who deletes a revision and one who saves it at once, just one is through."""
    one, other = (MemoryCacheConversationStore(each) for each in (cache, other_cache))
    for turn in range(40):
        await one.write_record(record(None, "1"), expected_revision=None)
        calls = [
            one.delete_record("s", expected_revision="1"),
            other.write_record(record(None, "2"), expected_revision="1"),
        ]
        done = await asyncio.gather(*calls[:: 1 if turn % 2 else -1], return_exceptions=True)
        assert sorted(map(type, done), key=str) == sorted(
            [type(None), ConversationConflict], key=str
        )
        left = await one.read_record("s")
        if left is not None:
            await one.delete_record("s", expected_revision="2")


async def test_agent(valkey_url: str) -> None:
    """Pydantic AI's own agent goes on with a conversation on another worker."""
    agent = Agent(TestModel(custom_output_text="hello"))
    for turn in range(1, 4):
        store = MemoryCacheConversationStore.from_url(valkey_url)
        conversation = await store.load("s") or Conversation(conversation_id="s")
        result = await agent.run("hi", conversation=conversation)
        await store.save(result)
        stored = await store.load("s")
        assert stored is not None
        assert stored.messages == result.all_messages()
        assert len(stored.messages) == 2 * turn
        await store.close()


class Twin(ConversationStore):
    """Does everything to our store and to theirs, with the same ids; answers must be equal."""

    def __init__(self, ours: ConversationStore) -> None:
        self.stores = (ours, InMemoryConversationStore())

    async def both(self, name: str, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        """Do it to both; raise what they raise."""
        answers: list[Any] = []
        for store in self.stores:
            try:
                answers.append(await getattr(store, name)(*given, **named))
            except (ConversationConflict, KeyError) as error:
                answers.append(error)
        ours, theirs = answers
        if isinstance(theirs, Exception):
            assert type(ours) is type(theirs), (name, ours)
            raise theirs
        assert ours == theirs, name
        return ours

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Do it to both."""
        record: ConversationRecord | None = await self.both("read_record", conversation_id)
        return record

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """Do it to both."""
        records: Sequence[ConversationRecord] = await self.both(
            "read_records", scope=scope, limit=limit
        )
        return records

    async def write_record(self, record: ConversationRecord, **named: Any) -> None:  # noqa: ANN401
        """Do it to both."""
        await self.both("write_record", record, **named)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Do it to both."""
        """Do it to both."""
        await self.both("delete_record", conversation_id, expected_revision=expected_revision)

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Do it to both."""
        entry: ConversationEntry = await self.both("read_entry", entry_id)
        return entry

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        """Do it to both."""
        entries: list[ConversationEntry] = await self.both("read_history", head_id, limit=limit)
        return entries


async def test_entries_in_a_ring(cache: SessionCache) -> None:
    """Entries that lead to one another are damage, and nobody follows them for ever."""
    store = MemoryCacheConversationStore(cache)
    await store.write_record(
        record("b", "1"), new_entries=entries("a", "b"), expected_revision=None
    )
    log = cache.session("s", namespace="pydantic-ai")
    first, *rest = (await log.transcript()).messages
    await log.replace([{**first, "parent_id": "b"}, *rest])
    with pytest.raises(DamagedSessionError):
        await store.read_history("b")
    assert [each.id for each in await store.read_history("b", limit=2)] == ["a", "b"]


NAMES = st.sampled_from(["s", "t", "u"])
SCOPES = st.sampled_from([None, None, "me", "you"])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), NAMES, st.integers(1, 70), SCOPES),
        st.tuples(st.just("rewrite"), NAMES, st.integers(0, 9), SCOPES),
        st.tuples(st.just("stale"), NAMES, st.integers(1, 3), st.none()),
        st.tuples(st.just("branch"), NAMES, st.integers(0, 9), SCOPES),
        st.tuples(st.just("back"), NAMES, st.integers(0, 3), st.none()),
        st.tuples(st.just("fork"), NAMES, st.integers(0, 9) | st.none(), NAMES),
        st.tuples(st.just("delete"), NAMES, st.none(), SCOPES),
        st.tuples(st.just("load"), NAMES, st.none() | st.integers(0, 80), SCOPES),
        st.tuples(st.just("list"), NAMES, st.none() | st.integers(0, 3), SCOPES),
        st.tuples(st.just("entry"), NAMES, st.integers(0, 80), st.none()),
    ),
    max_size=16,
)


@settings(max_examples=100)
@given(OPERATIONS)
def test_as_pydantic_ai_s_own(
    valkey: ValkeyServer, operations: list[tuple[str, str, Any, Any]]
) -> None:
    """Whatever is done, each primitive answers as that of Pydantic AI's in-memory store."""
    asyncio.run(compare(valkey.url, operations))


async def compare(url: str, operations: list[tuple[str, str, Any, Any]]) -> None:
    """Do it all to a twin, with the conversations as they were last seen kept for later."""
    async with open_cache(url) as cache:
        twin = Twin(MemoryCacheConversationStore(cache, namespace=uuid4().hex))
        seen: dict[str, Conversation] = {}
        ids: list[str] = []
        for at, (kind, name, number, scope) in enumerate(operations):
            with suppress(UserError, KeyError):  # of both, or the twin would not have raised it
                await one(twin, seen, ids, (kind, name, number, scope), 100 * at)
        for name in ("s", "t", "u"):
            await twin.load(name)
        await twin.list_conversations()


async def branch(twin: Twin, name: str, number: int, scope: str | None, *, back: bool) -> None:
    """Go on from an earlier message, or from one of the branches left."""
    record = await twin.read_record(name)
    if record is None:
        return
    if not back:
        await twin.branch(name, at=number, expected_revision=record.revision, scope=scope)
    elif record.branches:
        tip = record.branches[number % len(record.branches)]
        await twin.branch(name, from_entry=tip, expected_revision=record.revision)


async def one(  # a table of operations
    twin: Twin,
    seen: dict[str, Conversation],
    ids: list[str],
    operation: tuple[str, str, Any, Any],
    at: int,
) -> None:
    """Do one operation."""
    kind, name, number, scope = operation
    match kind:
        case "extend" | "rewrite":
            conversation = await twin.load(name) or Conversation(conversation_id=name)
            seen.setdefault(name, conversation)
            if kind == "rewrite":
                kept = conversation.messages[:number]
                conversation.messages, conversation.new_message_index = kept, None
            conversation.messages.extend(several(at, at + (number or 1)))
            ids.extend(entry.id for entry in await twin.save(conversation, scope=scope))
        case "stale" if name in seen:
            seen[name].messages.extend(several(at, at + number))
            await twin.save(seen[name])
        case "branch" | "back":
            await branch(twin, name, number, scope, back=kind == "back")
        case "fork":
            await twin.fork(name, at=number, new_conversation_id=scope)
        case "delete":
            await twin.delete(name, scope=scope)
        case "load":
            await twin.load_entries(name, limit=number, scope=scope)
        case "list":
            await twin.list_conversations(limit=number, scope=scope)
        case "entry" if ids:
            await twin.read_entry(ids[number % len(ids)])
