from typing import Any

import pytest

pytest.importorskip("pydantic_ai.conversation_store")

from pydantic_ai import DeferredToolRequests
from pydantic_ai.conversation import Conversation
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage, RunUsage

from memory_cache import (
    CacheConfig,
    DamagedSessionError,
    InvalidInputError,
    SessionCache,
    TooLargeError,
    open_cache,
)
from memory_cache.adapters.pydantic_ai import MemoryCacheConversationStore
from support.values import EXTREME, LONG, exact, nested

IMAGE = bytes(range(250)) * 3600


def messages(value: object) -> list[ModelMessage]:
    """A conversation in which a value is an argument, a result and metadata."""
    image = BinaryContent(data=IMAGE, media_type="application/pdf")
    args: Any = {"x": value}
    return [
        ModelRequest(parts=[UserPromptPart(content=["half \ud800", image])]),
        ModelResponse(parts=[TextPart("%d800"), ToolCallPart("f", args, tool_call_id="c")]),
        ModelRequest(parts=[ToolReturnPart("f", [value], tool_call_id="c", metadata={"m": value})]),
        ModelResponse(parts=[TextPart("done")]),
    ]


def told(message: ModelMessage) -> str:
    """What tells a value of a message from another one."""
    found = [
        (getattr(part, "args", None), getattr(part, "metadata", None))
        + ((part.content,) if isinstance(part, (TextPart, ToolReturnPart)) else ())
        for part in message.parts
    ]
    return exact(found)


# Of half of a surrogate pair in a key of arguments Pydantic AI makes no JSON.
@pytest.mark.parametrize("value", [*EXTREME[:-1], nested(190), LONG])
async def test_come_back(cache: SessionCache, other_cache: SessionCache, value: object) -> None:
    """What JSON does not hold unchanged, or others may not write, comes back on any worker."""
    sent = messages(value)
    deferred = DeferredToolRequests(calls=[ToolCallPart("f", {"x": value}, tool_call_id="d")])
    one, other = (MemoryCacheConversationStore(each) for each in (cache, other_cache))
    conversation = Conversation(
        conversation_id="s", messages=list(sent), deferred_tool_requests=deferred
    )
    await one.save(conversation)
    found = await other.load("s")
    assert found is not None
    assert [*map(told, found.messages)] == [*map(told, sent)]
    assert found.messages[0].parts == sent[0].parts
    assert found.deferred_tool_requests is not None
    assert exact(found.deferred_tool_requests.calls[0].args) == exact({"x": value})
    # Gone on with, and forked: what is copied is what was stored.
    found.messages.append(ModelResponse(parts=[TextPart("more")]))
    await other.save(found)
    fork = await other.fork("s", at=3, new_conversation_id="t")
    await other.delete("s")
    assert fork is not None
    again = await one.load("t")
    assert again is not None
    assert [*map(told, again.messages)] == [*map(told, sent[:3])]


@pytest.mark.parametrize("value", [print, nested(300), EXTREME[-1], "x" * 2**20])
async def test_refused(valkey_url: str, value: object) -> None:
    """What Pydantic AI makes no JSON of, or over the limit, is refused, and nothing is saved."""
    config = CacheConfig(max_large_bytes=2**20, max_message_bytes=2**20)
    async with open_cache(valkey_url, config=config) as cache:
        store = MemoryCacheConversationStore(cache)
        args: Any = {"x": value}
        result = ModelResponse(parts=[ToolCallPart("f", args, tool_call_id="c")])
        with pytest.raises(TooLargeError if isinstance(value, str) else InvalidInputError):
            await store.save(Conversation(conversation_id="s", messages=[result]))
        assert await store.load("s") is None


async def test_numbers_where_only_numbers_may_be(
    cache: SessionCache, other_cache: SessionCache
) -> None:
    """A number that JSON does not hold comes back from where Pydantic AI takes nothing else."""
    usage = RequestUsage(input_tokens=10**21, details={"x": 2**64})
    answer = ModelResponse(parts=[TextPart("half \ud800")], usage=usage)
    sent = Conversation(
        conversation_id="s", messages=[answer], usage=RunUsage(details={"x": 10**21})
    )
    await MemoryCacheConversationStore(cache).save(sent)
    found = await MemoryCacheConversationStore(other_cache).load("s")
    assert found is not None
    assert found.messages == [answer]
    assert found.usage == sent.usage


async def test_one_that_is_damaged_among_many(cache: SessionCache) -> None:
    """A listing says which one is damaged; entries of others are found, and it can be deleted."""
    store = MemoryCacheConversationStore(cache)
    for name in ("a", "b"):
        await store.save(Conversation(conversation_id=name, messages=messages(0)), scope="me")
    kept = await store.load_entries("a")
    await cache.session("b", namespace="pydantic-ai").append({"no": "record"})
    with pytest.raises(DamagedSessionError) as raised:
        await store.list_conversations()
    assert raised.value.__notes__ == ["It is the session pydantic-ai//b (namespace/user/id)."]
    assert kept is not None
    other = MemoryCacheConversationStore(cache)
    assert await other.read_history(kept[-1].id) == kept
    with pytest.raises(DamagedSessionError):
        await other.read_entry("nowhere, or in the one that is damaged")
    with pytest.raises(DamagedSessionError):
        await store.delete("b", scope="me")
    await store.delete("b")
    assert [each.conversation_id for each in await store.list_conversations()] == ["a"]
