import operator
import os
from typing import Annotated, Any, TypedDict

import pytest

pytest.importorskip("langgraph.checkpoint")
pytest.importorskip("langgraph.checkpoint.conformance")

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt

from memory_cache import (
    SessionCache,
    open_cache,
)
from memory_cache.adapters.langgraph import MemoryCacheSaver
from support.checkpoints import sent
from support.valkey import ValkeyServer


def joined(state: list[Any], writes: list[list[Any]]) -> list[Any]:
    """A reducer for delta channels."""
    return [*state, *(each for write in writes for each in write)]


class State(TypedDict):
    """A list of messages, a log of the steps as deltas, and a value that is replaced."""

    messages: Annotated[list[BaseMessage], add_messages]
    steps: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=5)]
    votes: Annotated[list[int], operator.add]
    turn: int


def answer(state: State) -> dict[str, Any]:
    """Answer the last message; forget the one before it now and then."""
    turn = state.get("turn", 0) + 1
    said: list[Any] = [AIMessage(f"answer {turn}", id=f"a{turn}")]
    if turn % 7 == 0:
        said.append(RemoveMessage(id=str(state["messages"][-2].id)))
    return {"messages": said, "steps": [f"answer {turn}"], "turn": turn}


def spread(state: State) -> list[Send]:
    """Ask three at once."""
    return [Send("vote", {"number": 10 * state["turn"] + each}) for each in range(3)]


def vote(given: dict[str, int]) -> dict[str, Any]:
    """Give a number."""
    return {"votes": [given["number"]], "steps": [f"vote {given['number']}"]}


def ask(state: State) -> dict[str, Any]:
    """Every third turn, wait for a person's word."""
    word = interrupt("go on?") if state["turn"] % 3 == 0 else "unasked"
    return {"steps": [f"said {word}"]}


def graph_with(saver: BaseCheckpointSaver[Any]) -> Any:  # noqa: ANN401  theirs
    """A graph that does a bit of everything, with this checkpointer."""
    builder = StateGraph(State)
    builder.add_node("answer", answer)
    builder.add_node("vote", vote)  # type: ignore[arg-type, unused-ignore]
    builder.add_node("ask", ask)
    builder.add_edge(START, "answer")
    builder.add_conditional_edges("answer", spread, ["vote"])
    builder.add_edge("vote", "ask")
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=saver)


HERE: Any = {"configurable": {"thread_id": "t"}}


async def talk(savers: list[BaseCheckpointSaver[Any]], turns: int) -> list[dict[str, Any]]:
    """Hold a conversation by these checkpointers in turn; return the state after each turn."""
    states = []
    for turn in range(turns):
        graph = graph_with(savers[turn % len(savers)])
        said = HumanMessage(f"question {turn}", id=f"q{turn}")
        found = await graph.ainvoke({"messages": [said], "steps": [f"turn {turn}"]}, HERE)
        if "__interrupt__" in found:
            found = await graph.ainvoke(Command(resume=f"yes {turn}"), HERE)
        states.append(found)
    return states


async def history(saver: BaseCheckpointSaver[Any]) -> list[Any]:
    """What the graph says that each of its states was, and what was to come next."""
    return [
        (each.values, each.next, each.metadata, [task.name for task in each.tasks])
        async for each in graph_with(saver).aget_state_history(HERE)
    ]


async def test_graph(cache: SessionCache, other_cache: SessionCache) -> None:
    """A graph on two workers in turn is at every step as with LangGraph's in-memory saver."""
    ours = [MemoryCacheSaver(each) for each in (cache, other_cache)]
    reference = InMemorySaver()
    assert await talk([*ours], 12) == await talk([reference], 12)
    wanted = await history(reference)
    assert len(wanted) > 48
    for each in ours:
        assert plain(await history(each)) == plain(wanted)


def plain(steps: list[Any]) -> list[Any]:
    """What can be compared: ids are random."""
    return [
        (values, following, metadata["step"], metadata["source"], tasks)
        for values, following, metadata, tasks in steps
    ]


async def test_forks(cache: SessionCache, other_cache: SessionCache) -> None:
    """From an earlier state both graphs go on alike, and what was left stays as it was."""
    reference = InMemorySaver()
    results = []
    for savers in ([MemoryCacheSaver(cache), MemoryCacheSaver(other_cache)], [reference]):
        await talk([*savers], 4)
        graph = graph_with(savers[-1])
        states = [each async for each in graph.aget_state_history(HERE)]
        then = next(each for each in states if each.values.get("turn") == 2 and not each.next)
        changed = await graph.aupdate_state(then.config, {"steps": ["changed"], "turn": 19})
        forked = await graph.ainvoke({"messages": [HumanMessage("again", id="z")]}, changed)
        again = await graph.ainvoke({"messages": [HumanMessage("and again", id="y")]}, then.config)
        left = await graph.aget_state(states[0].config)
        again.pop("__interrupt__", None)  # its id is made of the checkpoint's
        results.append((forked, again, left.values, (await graph.aget_state(HERE)).values))
    assert results[0] == results[1]


class Salted(JsonPlusSerializer):
    """Writes nothing twice in the same way, as one that encrypts."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:  # noqa: ANN401  theirs
        """Put something random in front."""
        kind, data = super().dumps_typed(obj)
        return kind, os.urandom(8) + data

    def loads_typed(self, data: tuple[str, bytes]) -> Any:  # noqa: ANN401  theirs
        """Take it away."""
        return super().loads_typed((data[0], data[1][8:]))


async def test_other_serializers(cache: SessionCache) -> None:
    """Values that are written otherwise each time come back, and make no list each time."""
    ours = await talk([MemoryCacheSaver(cache, serde=Salted())], 12)
    assert ours == await talk([InMemorySaver()], 12)
    assert (await cache.list_sessions()).total == 1


async def test_from_url(valkey_url: str) -> None:
    """A saver of a URL opens its cache at first use, and goes on on another worker."""
    for turn in range(2):
        saver = MemoryCacheSaver.from_url(valkey_url)
        states = await talk([saver], 1)
        assert states[0]["turn"] == turn + 1
        await saver.close()


class Talk(TypedDict):
    """The state of an ordinary chat, with something large that does not change."""

    messages: Annotated[list[BaseMessage], add_messages]
    manual: str


class Deltas(TypedDict):
    """The same, the messages as a delta channel."""

    messages: Annotated[list[BaseMessage], DeltaChannel(joined, snapshot_frequency=3)]
    manual: str


@pytest.mark.parametrize("schema", [Talk, Deltas])
async def test_a_step_costs_the_same(valkey: ValkeyServer, valkey_url: str, schema: type) -> None:
    """However long the conversation is, a turn sends the same; not a list that grows."""
    builder: Any = StateGraph(schema)
    builder.add_node("answer", lambda state: {"messages": [AIMessage("x" * 400)]})  # noqa: ARG005
    builder.add_edge(START, "answer")
    costs = []
    # The first input of a long conversation is one value.
    async with open_cache(valkey_url) as cache:
        graph: Any = builder.compile(checkpointer=MemoryCacheSaver(cache))
        for size in (20, 1500):
            config: Any = {"configurable": {"thread_id": str(size)}}
            start = [HumanMessage("y" * 400, id=str(at)) for at in range(size)]
            await graph.ainvoke({"messages": start, "manual": "z" * 50_000}, config)
            for _ in range(4):
                await graph.ainvoke({"messages": [HumanMessage("first")]}, config)
            before = await sent(valkey)
            for _ in range(6):
                await graph.ainvoke({"messages": [HumanMessage("and then")]}, config)
            after = await sent(valkey)
            costs.append([b - a for a, b in zip(before, after, strict=True)])
            assert len((await graph.aget_state(config)).values["messages"]) == size + 21
    (few, small), (many, large) = costs
    assert many <= 1.5 * few
    assert large <= 1.5 * small
    assert large < 120_000
