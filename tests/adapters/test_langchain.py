import asyncio
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("langchain_core")

from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from memory_cache import SessionCache, open_cache
from memory_cache.adapters.langchain import MemoryCacheChatMessageHistory
from support.valkey import ValkeyServer

# All of this is deprecated by LangChain itself, which is why there is an adapter for moving over.
pytestmark = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.deprecation.LangChainDeprecationWarning"
)

MESSAGES: list[BaseMessage] = [
    SystemMessage("be brief 👋"),
    HumanMessage([{"type": "text", "text": "hi"}, {"type": "image", "base64": "AA=="}], id="h"),
    AIMessage(
        "",
        id="a",
        tool_calls=[{"name": "f", "args": {"x": None}, "id": "c", "type": "tool_call"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model": "m"},
    ),
    ToolMessage("3", tool_call_id="c", artifact={"rows": [1.5]}, status="error"),
]


async def test_messages_come_back_equal(cache: SessionCache, other_cache: SessionCache) -> None:
    """Messages of every kind come back as they were given, on any worker, and in order."""
    await MemoryCacheChatMessageHistory("s", cache).aadd_messages(MESSAGES)
    for worker in (cache, other_cache):
        assert await MemoryCacheChatMessageHistory("s", worker).aget_messages() == MESSAGES


async def test_two_workers(cache: SessionCache, other_cache: SessionCache) -> None:
    """Of two workers that add at once nothing is lost, and what was added together stays so."""
    histories = [MemoryCacheChatMessageHistory("s", each) for each in (cache, other_cache)]
    pairs = [[HumanMessage(str(at)), AIMessage(str(at))] for at in range(60)]
    await asyncio.gather(*(histories[at % 2].aadd_messages(pair) for at, pair in enumerate(pairs)))
    held = await histories[0].aget_messages()
    assert sorted(
        zip(held[::2], held[1::2], strict=True), key=lambda p: int(str(p[0].content))
    ) == [tuple(pair) for pair in pairs]


async def test_scope(cache: SessionCache) -> None:
    """A history has a scope and a time to live, and no messages make no session."""
    history = MemoryCacheChatMessageHistory("s", cache, namespace="n", user_id="u", ttl_seconds=60)
    await history.aadd_messages([])
    assert await cache.find("s") == ()
    await history.aadd_messages(MESSAGES)
    kept = await cache.session("s", namespace="n", user_id="u").recent(0)
    assert (kept.next, kept.ttl_seconds) == (len(MESSAGES), 60)


async def test_other_threads(cache: SessionCache) -> None:
    """From a thread the methods that are not awaited work; on the event loop they are refused."""
    history = MemoryCacheChatMessageHistory("s", cache)
    await asyncio.to_thread(history.add_user_message, "hi")
    assert await asyncio.to_thread(lambda: history.messages) == [HumanMessage("hi")]
    with pytest.raises(RuntimeError):
        history.add_user_message("hi")
    await asyncio.to_thread(history.clear)
    assert await history.aget_messages() == []


def test_other_loop(valkey_url: str) -> None:
    """Where the cache's event loop does not run, every method says so at once."""
    loop = asyncio.new_event_loop()
    opening = open_cache(valkey_url)
    history = MemoryCacheChatMessageHistory("s", loop.run_until_complete(opening.__aenter__()))
    for call in (history.aget_messages(), history.aadd_messages(MESSAGES), history.aclear()):
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(asyncio.wait_for(call, 10))
    with pytest.raises(RuntimeError, match="no event loop of the cache is running"):
        history.clear()
    loop.run_until_complete(opening.__aexit__(None, None, None))
    loop.close()


async def test_runnable(cache: SessionCache, other_cache: SessionCache) -> None:
    """LangChain's own runnable goes on with a conversation on another worker."""
    count: Any = RunnableLambda(lambda messages: AIMessage(str(len(messages))))
    config: Any = {"configurable": {"session_id": "s"}}
    said = []
    for worker in (cache, other_cache):
        chain = RunnableWithMessageHistory(
            count,
            lambda name, worker=worker: MemoryCacheChatMessageHistory(name, worker, user_id="u"),
        )
        said.append((await chain.ainvoke([HumanMessage("hi")], config=config)).content)
    assert said == ["1", "3"]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.sampled_from(MESSAGES), max_size=70)),
        st.tuples(st.just("clear"), st.none()),
        st.tuples(st.just("get"), st.none()),
    ),
    max_size=10,
)


@settings(max_examples=100)
@given(OPERATIONS)
def test_as_langchain_s_own(valkey: ValkeyServer, operations: list[tuple[str, Any]]) -> None:
    """Whatever is done, the messages are those of LangChain's in-memory history."""
    asyncio.run(compare(valkey.url, operations))


async def compare(url: str, operations: list[tuple[str, Any]]) -> None:
    """Do the same to both, and compare what they hold."""
    reference = InMemoryChatMessageHistory()
    async with open_cache(url) as cache:
        ours = MemoryCacheChatMessageHistory(uuid4().hex, cache)
        for kind, value in [*operations, ("get", None)]:
            for history in (ours, reference):
                if kind == "add":
                    await history.aadd_messages(value)
                elif kind == "clear":
                    await history.aclear()
            if kind == "get":
                assert await ours.aget_messages() == await reference.aget_messages()
