from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime

import pytest
from agent_memory_client import (
    MemoryAPIClient,
    MemoryNotFoundError,
    MemoryServerError,
    create_memory_client,
)
from agent_memory_client.models import (
    ClientMemoryRecord,
    CreateSummaryViewRequest,
    ForgetPolicy,
    MemoryMessage,
    MemoryRecord,
    MemoryStrategyConfig,
    WorkingMemory,
)

from support.in_process import listening

# The client deprecates its own method, which programs in use call.
pytestmark = pytest.mark.filterwarnings("ignore:get_working_memory is deprecated")


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[MemoryAPIClient]:
    """The public Python client, unchanged, of a server over an empty store."""
    async with listening(valkey_url) as url, await create_memory_client(url) as client:
        yield client


def said(*words: str) -> list[MemoryMessage]:
    """Messages as the client makes them: with an id and a time."""
    return [
        MemoryMessage(role="user", content=word, created_at=datetime.now(UTC)) for word in words
    ]


def contents(memory: WorkingMemory) -> Sequence[str]:
    """What was said."""
    return [message.content for message in memory.messages]


async def test_health_and_empty_list(client: MemoryAPIClient) -> None:
    """The client reads health and an empty list."""
    assert (await client.health_check()).now > 0
    listed = await client.list_sessions()
    assert (listed.sessions, listed.total) == ([], 0)


async def test_put_and_get(client: MemoryAPIClient) -> None:
    """What the client puts it gets back, field by field, and its echo says so at once."""
    memory = WorkingMemory(
        session_id="s",
        namespace="n",
        user_id="u",
        messages=said("a", "b"),
        memories=[MemoryRecord(id="m", text="likes tea", topics=["drinks"])],
        data={"counter": 2, "nested": {"null": None}},
        context="so far",
        tokens=9,
        ttl_seconds=60,
        long_term_memory_strategy=MemoryStrategyConfig(strategy="summary"),
    )
    echoed = await client.put_working_memory("s", memory, user_id="u")
    got = await client.get_working_memory("s", user_id="u", namespace="n")
    sent = memory.model_dump()
    assert {name: echoed.model_dump()[name] for name in sent} == sent
    assert {name: got.model_dump()[name] for name in sent} == sent
    assert (await client.list_sessions(namespace="n", user_id="u", limit=1)).sessions == ["s"]


async def test_window(client: MemoryAPIClient) -> None:
    """A window cuts what the client gets, and says how full it is."""
    await client.put_working_memory("s", WorkingMemory(session_id="s", messages=said("a", "b")))
    got = await client.get_working_memory("s", context_window_max=1)
    assert contents(got) == ["b"]
    assert got.context_percentage_total_used == 100.0
    whole = await client.get_working_memory("s", model_name="gpt-4o")
    assert contents(whole) == ["a", "b"]


async def test_missing_session(client: MemoryAPIClient) -> None:
    """A session that does not exist is the client's own error; get-or-create makes it."""
    with pytest.raises(MemoryNotFoundError):
        await client.get_working_memory("s")
    created, memory = await client.get_or_create_working_memory("s", user_id="u", namespace="n")
    assert (created, memory.user_id, memory.namespace) == (True, "u", "n")
    created, _ = await client.get_or_create_working_memory("s", user_id="u", namespace="n")
    assert not created


async def test_append(client: MemoryAPIClient) -> None:
    """The client's append, which gets all and puts all, keeps order and the other fields."""
    strategy = MemoryStrategyConfig(strategy="preferences")
    start = WorkingMemory(
        session_id="s", user_id="u", tokens=5, ttl_seconds=60, long_term_memory_strategy=strategy
    )
    await client.put_working_memory("s", start)
    for at in range(70):
        memory = await client.append_messages_to_working_memory(
            "s", [{"role": "user", "content": f"{at}"}, *said(f"{at}'")], user_id="u"
        )
    assert contents(memory) == [text for at in range(70) for text in (f"{at}", f"{at}'")]
    assert (memory.tokens, memory.ttl_seconds) == (5, 60)
    assert memory.long_term_memory_strategy == strategy
    again = await client.get_working_memory("s", user_id="u")
    assert again.messages == memory.messages


async def test_data_helpers(client: MemoryAPIClient) -> None:
    """The client's helpers for data keep messages and change data as they promise."""
    await client.put_working_memory("s", WorkingMemory(session_id="s", messages=said("a")))
    await client.set_working_memory_data("s", {"a": {"x": 1}, "n": 1})
    await client.update_working_memory_data("s", {"a": {"y": 2}}, merge_strategy="deep_merge")
    await client.update_working_memory_data("s", {"n": 2}, merge_strategy="merge")
    memory = await client.get_working_memory("s")
    assert memory.data == {"a": {"x": 1, "y": 2}, "n": 2}
    assert contents(memory) == ["a"]
    replaced = await client.update_working_memory_data("s", {"z": 1}, merge_strategy="replace")
    assert replaced.data == {"z": 1}


async def test_memories_helper(client: MemoryAPIClient) -> None:
    """The client adds memories one after another, or in place of all."""
    await client.add_memories_to_working_memory("s", [ClientMemoryRecord(text="a")])
    await client.add_memories_to_working_memory("s", [ClientMemoryRecord(text="b")])
    memory = await client.get_working_memory("s")
    assert [record.text for record in memory.memories] == ["a", "b"]
    only = [ClientMemoryRecord(text="c")]
    memory = await client.add_memories_to_working_memory("s", only, replace=True)
    assert [record.text for record in memory.memories] == ["c"]


async def test_delete(client: MemoryAPIClient) -> None:
    """Delete is ok twice, and the session is gone."""
    await client.put_working_memory("s", WorkingMemory(session_id="s", namespace="n"))
    for _ in range(2):
        assert (await client.delete_working_memory("s", namespace="n")).status == "ok"
    with pytest.raises(MemoryNotFoundError):
        await client.get_working_memory("s", namespace="n")


async def test_prompt(client: MemoryAPIClient) -> None:
    """The client gets a prompt of a session."""
    memory = WorkingMemory(session_id="s", messages=said("a"), context="so far")
    await client.put_working_memory("s", memory)
    prompt = await client.memory_prompt("q", session_id="s", context_window_max=500)
    texts = [message["content"]["text"] for message in prompt["messages"]]
    assert texts == ["## A summary of the conversation so far:\nso far", "a", "q"]


async def test_long_term_memory(client: MemoryAPIClient) -> None:
    """Promoting says that long-term memory is disabled; with nothing to promote it is ok."""
    assert (await client.promote_working_memories_to_long_term("s")).status == "ok"
    await client.add_memories_to_working_memory("s", [ClientMemoryRecord(text="a")])
    with pytest.raises(MemoryServerError, match="Long-term memory is disabled"):
        await client.promote_working_memories_to_long_term("s")


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.create_long_term_memory([ClientMemoryRecord(text="a")]),
        lambda client: client.search_long_term_memory("tea"),
        lambda client: client.get_long_term_memory("m"),
        lambda client: client.edit_long_term_memory("m", {"text": "b"}),
        lambda client: client.delete_long_term_memories(["m"]),
        lambda client: client.create_summary_view(
            CreateSummaryViewRequest(source="long_term", group_by=["user_id"])
        ),
    ],
)
async def test_disabled(
    client: MemoryAPIClient, call: Callable[[MemoryAPIClient], Awaitable[object]]
) -> None:
    """What needs long-term memory is refused with the words that the other server has for it."""
    with pytest.raises(MemoryServerError, match="Long-term memory is disabled") as refused:
        await call(client)
    assert refused.value.status_code == 400


async def test_nothing_to_forget(client: MemoryAPIClient) -> None:
    """Forgetting finds nothing."""
    policy = ForgetPolicy(max_age_days=30)
    for pinned in (None, ["m"]):
        done = await client.forget_long_term_memories(policy, limit=5, pinned_ids=pinned)
        assert (done.scanned, done.deleted, done.deleted_ids) == (0, 0, [])
        assert done.dry_run


async def test_no_summary_views(client: MemoryAPIClient) -> None:
    """There are no summary views, nor tasks, and what is done to one says that it is not there."""
    assert await client.list_summary_views() == []
    assert await client.get_summary_view("v") is None
    assert await client.get_task("t") is None
    assert (await client.delete_summary_view("v")).status == "ok"
    for call in (
        client.list_summary_view_partitions("v"),
        client.run_summary_view_partition("v", {"user_id": "u"}),
        client.run_summary_view("v"),
    ):
        with pytest.raises(MemoryNotFoundError, match="summary-views/v/"):
            await call


async def test_tools(client: MemoryAPIClient) -> None:
    """The client's tools for models work on a session."""
    made = await client.get_or_create_working_memory_tool("s", namespace="n", user_id="u")
    assert made["created"] is True
    added = await client.add_memory_tool("s", "likes tea", "semantic", namespace="n", user_id="u")
    assert added["success"] is True
    updated = await client.update_memory_data_tool("s", {"a": 1}, namespace="n", user_id="u")
    assert updated["success"] is True
    seen = await client.get_working_memory_tool("s", namespace="n", user_id="u")
    assert (seen["message_count"], seen["data"]) == (0, {"a": 1})
    assert [memory["text"] for memory in seen["memories"]] == ["likes tea"]


async def test_refusals_are_the_client_s_own_error(client: MemoryAPIClient) -> None:
    """A refusal reaches the caller as the client's error, with its status."""
    memory = WorkingMemory(session_id="s", messages=said(" "))
    with pytest.raises(MemoryServerError, match="content cannot be empty") as refused:
        await client.put_working_memory("s", memory)
    assert refused.value.status_code == 400
    with pytest.raises(MemoryServerError) as refused:
        await client.get_working_memory("s", model_name="gpt-5")  # type: ignore[arg-type]
    assert refused.value.status_code == 422
