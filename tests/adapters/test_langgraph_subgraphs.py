import asyncio
import operator
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import pytest

pytest.importorskip("langgraph.checkpoint")

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, StreamWriter, interrupt

from memory_cache import open_cache
from memory_cache.adapters.langgraph import MemoryCacheSaver
from support.valkey import ValkeyServer

GIVEN: list[Any] = [{"input": "go"}, Command(resume="1"), Command(resume="2")]

KINDS = ["shared", "url", "ttl"]


@asynccontextmanager
async def savers(kind: str, server: ValkeyServer) -> AsyncIterator[list[BaseCheckpointSaver[Any]]]:
    """A saver of ours of this kind, and LangGraph's own in memory."""
    async with open_cache(server.url) as cache:
        ours = {
            "shared": MemoryCacheSaver(cache),
            "url": MemoryCacheSaver(server.url),
            "ttl": MemoryCacheSaver(cache, ttl_seconds=60),
        }[kind]
        yield [ours, InMemorySaver()]
        await ours.close()


class Asked(TypedDict):
    """The state of a graph that asks a person."""

    input: str


class Counted(TypedDict):
    """The state of a graph whose nodes each count something."""

    found: Annotated[list[int], operator.add]


def asking(question: str) -> Any:  # noqa: ANN401  a node
    """A node that asks a question and waits for the answer."""
    return lambda state: {"input": interrupt(question)}  # noqa: ARG005  LangGraph's shape


def calling(subgraph: Any) -> Any:  # noqa: ANN401  theirs
    """A node that calls a subgraph, and is not awaited."""

    def call(state: Any) -> Any:  # noqa: ANN401  theirs
        return subgraph.invoke(state)

    return call


def asks_twice() -> StateGraph[Any]:
    """A graph with two questions, one after the other."""
    builder: Any = StateGraph(Asked)
    builder.add_node("first", asking("one?"))
    builder.add_node("second", asking("two?"))
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    return builder


@pytest.mark.parametrize("kind", KINDS)
async def test_two_questions_of_a_subgraph(
    valkey: ValkeyServer, valkey_url: str, kind: str
) -> None:
    """
    A node that is not awaited calls a subgraph by `invoke`, which asks twice.

    Of the shape of LangGraph's test_double_interrupt_subgraph.
    """
    assert valkey_url == valkey.url
    subgraph: Any = asks_twice().compile()
    builder: Any = StateGraph(Asked)
    builder.add_node("call", calling(subgraph))
    builder.add_edge(START, "call")
    thread: Any = {"configurable": {"thread_id": "t"}}
    async with savers(kind, valkey) as both:
        for saver in both:
            graph = builder.compile(checkpointer=saver)
            said = [values(await chunks(graph, given, thread)) for given in GIVEN]
            assert said == [
                [{"__interrupt__": ["one?"]}],
                [{"__interrupt__": ["two?"]}],
                [{"call": {"input": "2"}}],
            ]
            assert (await graph.aget_state(thread)).values == {"input": "2"}


async def chunks(graph: Any, given: Any, config: Any, **how: Any) -> list[Any]:  # noqa: ANN401  theirs
    """What a graph streams."""
    return [each async for each in graph.astream(given, config, **how)]


def history(graph: Any, config: Any, **how: Any) -> list[Any]:  # noqa: ANN401  theirs
    """A graph's states, the newest first, for another thread."""
    return [*graph.get_state_history(config, **how)]


def values(streamed: list[Any]) -> list[Any]:
    """The same without the ids of interrupts, which are random."""
    return [
        {name: [each.value for each in got] if name == "__interrupt__" else got}
        for chunk in streamed
        for name, got in chunk.items()
    ]


class City(MessagesState):
    """The state of the graph that tells the weather."""

    city: str


class Route(MessagesState):
    """The state of the graph that calls it."""

    route: str


def weather_graph() -> Any:  # noqa: ANN401  theirs
    """A graph that finds the city, stops, and then tells the weather there."""

    def find(state: City, writer: StreamWriter) -> dict[str, Any]:
        del state
        writer("finding")
        return {"city": "San Francisco"}

    def tell(state: City, writer: StreamWriter) -> dict[str, Any]:
        writer("telling")
        return {"messages": [AIMessage(f"It is sunny in {state['city']}", id="a")]}

    builder: Any = StateGraph(City)
    builder.add_node("find", find)
    builder.add_node("tell", tell)
    builder.add_edge(START, "find")
    builder.add_edge("find", "tell")
    builder.add_edge("tell", END)
    return builder.compile(interrupt_before=["tell"])


def routing_graph(saver: BaseCheckpointSaver[Any]) -> Any:  # noqa: ANN401  theirs
    """A graph that calls the one above by `invoke`, in a node that is not awaited."""

    def route(state: Route, writer: StreamWriter) -> dict[str, Any]:
        del state
        writer("routing")
        return {"route": "weather"}

    builder: Any = StateGraph(Route)
    builder.add_node("route", route)
    builder.add_node("weather", calling(weather_graph()))
    builder.add_edge(START, "route")
    builder.add_edge("route", "weather")
    builder.add_edge("weather", END)
    return builder.compile(checkpointer=saver)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("kind", KINDS)
async def test_weather(valkey: ValkeyServer, valkey_url: str, kind: str, durability: str) -> None:
    """
    A subgraph that was called by `invoke` stops, is changed from outside, and goes on.

    Of the shape of LangGraph's test_weather_subgraph; `get_state_history` is called in a thread.
    """
    assert valkey_url == valkey.url
    asked = {"messages": [("user", "what is the weather in sf")]}
    custom: Any = {"stream_mode": "custom", "subgraphs": True, "durability": durability}
    found = []
    async with savers(kind, valkey) as both:
        for saver in both:
            graph, config = routing_graph(saver), {"configurable": {"thread_id": "1"}}
            begun = await chunks(graph, asked, config, **custom)
            assert [word for _, word in begun] == ["routing", "finding"]
            state = await graph.aget_state(config)
            assert state.next == ("weather",)
            assert await asyncio.to_thread(history, graph, config, limit=1) == [state]
            await graph.aupdate_state(state.tasks[0].state, {"city": "la"})
            gone_on = await chunks(graph, None, config, **custom)
            assert [word for _, word in gone_on] == ["telling"]
            ended = await graph.aget_state(config)
            assert ended.next == ()
            found.append([message.content for message in ended.values["messages"]])
    assert found[0] == found[1] == ["what is the weather in sf", "It is sunny in la"]


async def test_a_graph_that_is_not_awaited(valkey_url: str) -> None:
    """In another thread than the loop's a graph is run without `await`, to the same end."""
    async with open_cache(valkey_url) as cache:
        results = []
        for saver in (MemoryCacheSaver(cache), InMemorySaver()):
            graph: Any = asks_twice().compile(checkpointer=saver)
            thread: Any = {"configurable": {"thread_id": "t"}}
            for given in GIVEN:
                await asyncio.to_thread(graph.invoke, given, thread)
            states = await asyncio.to_thread(history, graph, thread)
            results.append([(state.values, state.next) for state in states])
        assert results[0] == results[1]
        on_the_loop: Any = asks_twice().compile(checkpointer=MemoryCacheSaver(cache))
        with pytest.raises(RuntimeError, match=r"await graph\.ainvoke"):
            on_the_loop.invoke({"input": "go"}, thread)


async def test_a_node_that_blocks_the_loop(valkey_url: str) -> None:
    """An awaited node that calls a subgraph by `invoke` is told at once what to do."""
    subgraph: Any = asks_twice().compile()

    async def call(state: Asked) -> Any:  # noqa: ANN401  awaited by LangGraph
        return subgraph.invoke(state)

    builder: Any = StateGraph(Asked)
    builder.add_node("call", call)
    builder.add_edge(START, "call")
    async with open_cache(valkey_url) as cache:
        graph = builder.compile(checkpointer=MemoryCacheSaver(cache))
        with pytest.raises(RuntimeError, match=r"await graph\.ainvoke"):
            await graph.ainvoke({"input": "go"}, {"configurable": {"thread_id": "t"}})


async def test_many_nodes_that_wait(valkey_url: str) -> None:
    """Nodes that are not awaited may all wait at once, in every thread that the loop has."""
    inner: Any = StateGraph(MessagesState)
    inner.add_node("answer", lambda state: {"messages": [AIMessage("hi")]})  # noqa: ARG005
    inner.add_edge(START, "answer")
    subgraph: Any = inner.compile(checkpointer=True)
    long = {"messages": [HumanMessage(f"{at}") for at in range(150)]}

    def call(state: Any) -> Any:  # noqa: ANN401, ARG001  theirs
        return {"found": [len(subgraph.invoke(long)["messages"])]}

    builder: Any = StateGraph(Counted)
    for at in range(8):
        builder.add_node(f"call {at}", call)
        builder.add_edge(START, f"call {at}")
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))
    async with open_cache(valkey_url) as cache:
        graph = builder.compile(checkpointer=MemoryCacheSaver(cache, wait_seconds=5))
        found = await graph.ainvoke({"found": []}, {"configurable": {"thread_id": "t"}})
    assert found["found"] == [151] * 8
