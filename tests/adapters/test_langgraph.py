import asyncio
import operator
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("langgraph.checkpoint")
pytest.importorskip("langgraph.checkpoint.conformance")

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    Checkpoint,
    CheckpointTuple,
    empty_checkpoint,
)
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, _DeltaSnapshot
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt

from memory_cache import (
    CacheConfig,
    DamagedSessionError,
    SessionCache,
    TooLargeError,
    TranscriptEditedError,
    open_cache,
)
from memory_cache.adapters._langgraph_values import carried
from memory_cache.adapters.langgraph import MemoryCacheSaver
from support.valkey import ValkeyServer


async def test_langgraph_s_own_suite(valkey_url: str) -> None:
    """LangGraph's own suite, unmodified: all that every checkpointer must do."""

    @checkpointer_test(name="memory-cache")
    async def saver() -> AsyncIterator[MemoryCacheSaver]:
        async with open_cache(valkey_url) as cache:
            yield MemoryCacheSaver(cache)

    report = await validate(saver)
    failures = {name: each.failures for name, each in report.results.items() if each.failures}
    assert failures == {}
    assert report.passed_all_base()
    assert sum(each.tests_passed for each in report.results.values()) >= 58


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


async def sent(server: ValkeyServer) -> tuple[int, int]:
    """How many commands the store has run, and how many bytes it was sent."""
    with server.admin as client:
        calls: Any = client.info("commandstats")
        stats: Any = client.info("stats")
    kinds = ("evalsha", "hmget", "hget", "eval")
    return (
        sum(calls.get(f"cmdstat_{each}", {}).get("calls", 0) for each in kinds),
        stats["total_net_input_bytes"],
    )


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
    async with open_cache(valkey_url, config=CacheConfig(max_message_bytes=2**23)) as cache:
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


def put(values: dict[str, Any], versions: dict[str, int], checkpoint_id: str) -> Checkpoint:
    """A checkpoint with these values."""
    made = empty_checkpoint()
    made["id"], made["channel_values"], made["channel_versions"] = (
        checkpoint_id,
        values,
        {**versions},
    )
    return made


@pytest.mark.parametrize("falling", [True, False])
async def test_ids_in_any_order(
    cache: SessionCache, other_cache: SessionCache, *, falling: bool
) -> None:
    """The newest checkpoint is the one with the greatest id, though many came after it at once."""
    savers = [MemoryCacheSaver(each) for each in (cache, other_cache)]
    names = sorted((str(uuid6(clock_seq=1)) for _ in range(150)), reverse=True)
    order = names if falling else [names[0], *names[:0:-1]]
    root: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for start in range(0, 150, 30):
        some = enumerate(order[start : start + 30])
        await asyncio.gather(
            *(savers[at % 2].aput(root, put({}, {}, each), {}, {}) for at, each in some)
        )
    for saver in savers:
        found = await saver.aget_tuple(root)
        assert found is not None
        assert found.checkpoint["id"] == names[0]
        assert [each.checkpoint["id"] async for each in saver.alist(root)] == names


async def test_a_value_that_is_put_again(cache: SessionCache) -> None:
    """A list that is put again as it was costs no list; an id that is put again is that one."""
    ours = MemoryCacheSaver(cache)
    place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for version in range(1, 4):
        made = put({"a": [*range(9)]}, {"a": version}, str(uuid6()))
        place = await ours.aput(place, made, {}, {"a": version})
    assert (await cache.list_sessions()).total == 1
    made = put({"a": _DeltaSnapshot([*range(9)])}, {"a": 4}, str(uuid6()))
    place = await ours.aput(place, made, {}, {"a": 4})
    found = await ours.aget_tuple(place)
    assert found is not None
    assert isinstance(found.checkpoint["channel_values"]["a"], _DeltaSnapshot)
    made["channel_values"], made["channel_versions"] = {"a": "again"}, {"a": 5}
    await ours.aput(place, made, {}, {"a": 5})
    (first, *others) = [each async for each in ours.alist(place)]
    assert first.checkpoint["channel_values"] == {"a": "again"}
    assert others == []
    assert len([each async for each in ours.alist({"configurable": {"thread_id": "t"}})]) == 4


async def test_what_is_kept_of_the_one_before() -> None:
    """What is small is copied on, what is large or a list is where it was."""
    small = {"version": 1, "typed": {"type": "msgpack", "data": "AA=="}}
    assert carried(small, 5) == small
    large = {"version": 1, "typed": {"type": "msgpack", "data": "A" * 400}}
    assert carried(large, 5) == {"version": 1, "at": 5}
    assert carried(carried(large, 5), 9) == {"version": 1, "at": 5}


async def test_metadata(cache: SessionCache) -> None:
    """What a call's config says goes into the metadata, as with LangGraph's own."""
    config: Any = {
        "configurable": {"thread_id": "t", "checkpoint_ns": "", "user": "u7"},
        "metadata": {"run": 7},
    }
    found = []
    for saver in (MemoryCacheSaver(cache), InMemorySaver()):
        place = await saver.aput(config, put({}, {}, str(uuid6())), {"step": 1}, {})
        got = await saver.aget_tuple(place)
        assert got is not None
        found.append(got.metadata)
    assert found[0] == found[1] == {"step": 1, "run": 7, "user": "u7"}


async def test_writes_again(cache: SessionCache) -> None:
    """Of a task's writes the first stay; of errors and the like the last does; none is nothing."""
    found = []
    for saver in (MemoryCacheSaver(cache), InMemorySaver()):
        place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        place = await saver.aput(place, put({}, {}, str(uuid6())), {}, {})
        for at in range(3):
            await saver.aput_writes(place, [("a", at), ("b", at), (ERROR, at)], "task", "p")
            await saver.aput_writes(place, [(ERROR, 10 + at), ("a", 10 + at)], "task", "q")
        got = await saver.aget_tuple(place)
        assert got is not None
        found.append(got.pending_writes)
    assert found[0] == found[1]
    log = cache.session("ns:", namespace="langgraph", user_id="t")
    before = (await log.recent(0)).next
    ours = MemoryCacheSaver(cache)
    newest = await ours.aget_tuple({"configurable": {"thread_id": "t"}})
    assert newest is not None
    await ours.aput_writes(newest.config, [], "task")
    assert (await log.recent(0)).next == before


async def test_deleted_while_it_is_read(cache: SessionCache) -> None:
    """A thread that is deleted, and begun anew, while it is read is an error and no mixture."""
    ours = MemoryCacheSaver(cache)
    root: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}

    async def filled() -> None:
        for _ in range(300):
            await ours.aput(root, put({}, {}, str(uuid6())), {}, {})

    await filled()
    for again in (True, False):
        reading = ours.alist(root)
        await anext(reading)
        await ours.adelete_thread("t")
        if again:
            await filled()
        with pytest.raises(TranscriptEditedError):
            async for _ in reading:
                pass


async def test_writes_before_their_checkpoint(cache: SessionCache) -> None:
    """Writes that come before their checkpoint, or long after it, are its writes."""
    ours = MemoryCacheSaver(cache)
    names = [str(uuid6(clock_seq=at)) for at in range(3)]
    places: list[Any] = [
        {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": each}}
        for each in names
    ]
    await ours.aput_writes(places[2], [("a", 2)], "early", "")
    for each in range(3):
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        await ours.aput(config, put({}, {}, names[each]), {"step": each}, {})
        got = await ours.aget_tuple(places[each])
        assert got is not None
        assert got.pending_writes == ([("early", "a", 2)] if each == 2 else [])
        for at in range(400):
            await ours.aput_writes(places[each], [("b", at)], f"task {at:03}", "")
    await ours.aput_writes(places[0], [("a", 0)], "late", "")
    found = [await ours.aget_tuple(each) for each in places]
    writes = [[*(each.pending_writes or [])] for each in found if each is not None]
    assert [len(each) for each in writes] == [401, 400, 401]
    assert (writes[0][0], writes[2][0]) == (("late", "a", 0), ("early", "a", 2))
    newest = await ours.aget_tuple({"configurable": {"thread_id": "t"}})
    assert newest is not None
    assert newest.checkpoint["id"] == names[2]


async def test_puts_at_once(cache: SessionCache, other_cache: SessionCache) -> None:
    """Of many who go on from one checkpoint at once each has its own list, and all are there."""
    savers = [MemoryCacheSaver(each) for each in (cache, other_cache)]
    root: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for version in range(1, 4):
        made = put({"m": list(range(20 * version))}, {"m": version}, str(uuid6()))
        root = await savers[0].aput(root, made, {}, {"m": version})
    lists = [[*range(60), f"mine {at}"] for at in range(20)]
    names = [str(uuid6()) for _ in lists]
    places = await asyncio.gather(
        *(
            savers[at % 2].aput(root, put({"m": each}, {"m": 4}, names[at]), {}, {"m": 4})
            for at, each in enumerate(lists)
        )
    )
    for at, each in enumerate(places):
        found = await savers[(at + 1) % 2].aget_tuple(each)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"m": lists[at]}
    assert len([each async for each in savers[0].alist(None)]) == 23


async def test_limits(cache: SessionCache) -> None:
    """A value over the limit is refused, and nothing is stored; a long list is no such value."""
    ours = MemoryCacheSaver(cache)
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    with pytest.raises(TooLargeError):
        await ours.aput(config, put({"v": "x" * 2**20}, {"v": 1}, str(uuid6())), {}, {"v": 1})
    assert await ours.aget_tuple(config) is None
    long = ["x" * 10_000] * 300
    made = await ours.aput(config, put({"v": long}, {"v": 1}, str(uuid6())), {}, {"v": 1})
    found = await ours.aget_tuple(made)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"v": long}
    with pytest.raises(KeyError):
        await ours.aput_writes(config, [("v", 1)], "task")


async def test_a_list_that_is_gone(cache: SessionCache) -> None:
    """A list that somebody has deleted is an error, never a shorter one; the thread can go."""
    ours = MemoryCacheSaver(cache)
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    long = ["x" * 10_000] * 300
    await ours.aput(config, put({"v": long}, {"v": 1}, str(uuid6())), {}, {"v": 1})
    (key,) = (await cache.list_sessions(namespace="langgraph-lists")).sessions
    session = cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)
    await session.pop()
    with pytest.raises(DamagedSessionError):
        await ours.aget_tuple(config)
    await ours.adelete_thread("t")
    assert (await cache.list_sessions()).total == 0


async def test_from_url(valkey_url: str) -> None:
    """A saver of a URL opens its cache at first use, and goes on on another worker."""
    for turn in range(2):
        saver = MemoryCacheSaver.from_url(valkey_url)
        states = await talk([saver], 1)
        assert states[0]["turn"] == turn + 1
        await saver.close()


VALUES = st.one_of(
    st.none(),
    st.sampled_from([1, "x", b"\xff", {"a": (1, 2)}, "long " * 100]),
    st.lists(st.integers(0, 3), max_size=40),
    st.lists(st.integers(0, 3), max_size=40).map(_DeltaSnapshot),
)
CHANGES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.one_of(
        st.tuples(st.just("set"), VALUES),
        st.tuples(st.just("grow"), st.lists(st.integers(0, 3), max_size=20)),
        st.tuples(st.just("empty"), st.none()),
        st.tuples(st.just("gone"), st.none()),
    ),
    max_size=3,
)
WHERE = st.tuples(st.sampled_from(["t", "u"]), st.sampled_from(["", "child:1"]))
WRITES = st.lists(
    st.tuples(st.sampled_from(["a", "b", ERROR, INTERRUPT]), st.integers(0, 9)),
    min_size=1,
    max_size=3,
)
PICK = st.integers(0, 30)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), WHERE, CHANGES, st.none() | PICK),
        st.tuples(st.just("put"), WHERE, CHANGES, st.just(0)),
        st.tuples(st.just("writes"), WHERE, WRITES, PICK),
        st.tuples(st.just("get"), WHERE, st.none(), st.none() | PICK),
        st.tuples(st.just("list"), WHERE, st.none() | st.integers(0, 3), st.none() | PICK),
        st.tuples(st.just("delta"), WHERE, st.none(), st.none() | PICK),
        st.tuples(st.just("delete"), WHERE, st.none(), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(OPERATIONS)
def test_as_langgraph_s_own(valkey: ValkeyServer, operations: list[Any]) -> None:
    """Whatever is done, every answer is that of LangGraph's in-memory saver."""
    asyncio.run(compare(valkey.url, operations))


async def compare(url: str, operations: list[Any]) -> None:
    """Do the same to both, and compare every answer."""
    async with open_cache(url) as cache:
        ours = MemoryCacheSaver(cache, namespace=uuid4().hex, serde=JsonPlusSerializer())
        twins = Twins(ours)
        for operation in operations:
            await twins.both(operation)
        for where in (("t", ""), ("t", "child:1"), ("u", ""), ("u", "child:1")):
            await twins.both(("list", where, None, None))


class Twins:
    """Our saver and theirs, and the checkpoints that were put, with what they held."""

    def __init__(self, ours: MemoryCacheSaver) -> None:
        self.savers: tuple[BaseCheckpointSaver[Any], ...] = (ours, InMemorySaver())
        self.put: dict[tuple[str, str], list[str]] = {}
        self.held: dict[str, tuple[dict[str, Any], dict[str, int]]] = {}
        self.counter = 0

    async def both(self, operation: Any) -> None:  # noqa: ANN401
        """Do one operation to both."""
        kind, where, what, pick = operation
        thread, name = where
        known = self.put.setdefault(where, [])
        chosen = None if pick is None or not known else known[-1 - pick % len(known)]
        config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": name}}
        if chosen is not None:
            config["configurable"]["checkpoint_id"] = chosen
        self.counter += 1
        if kind == "put":
            await self.one_put(config, known, what, chosen)
        elif kind == "writes" and chosen is not None:
            for each in self.savers:
                task = f"task {self.counter % 2}"
                await each.aput_writes(config, what, task, f"path {self.counter % 2}")
        elif kind == "get":
            answers = [await each.aget_tuple(config) for each in self.savers]
            assert seen(answers[0]) == seen(answers[1])
        elif kind == "list":
            await self.listed(config, what)
        elif kind == "delta":
            histories = [
                await each.aget_delta_channel_history(config=config, channels=["a", "b"])
                for each in self.savers
            ]
            assert histories[0] == histories[1]
        elif kind == "delete":
            self.put = {key: [] if key[0] == thread else put for key, put in self.put.items()}
            for each in self.savers:
                await each.adelete_thread(thread)

    async def listed(self, config: Any, limit: int | None) -> None:  # noqa: ANN401
        """List from both: before a checkpoint, or only that one; some steps, or all."""
        chosen = {"checkpoint_id": config["configurable"].pop("checkpoint_id", None)}
        before: Any = {"configurable": chosen} if chosen["checkpoint_id"] else None
        if self.counter % 3 == 0 and before:
            before, config = None, {"configurable": {**config["configurable"], **chosen}}
        wanted = {"step": self.counter // 2} if self.counter % 5 == 0 else None
        ours, theirs = [
            [each async for each in saver.alist(config, filter=wanted, before=before, limit=limit)]
            for saver in self.savers
        ]
        assert list(map(seen, ours)) == list(map(seen, theirs))

    async def one_put(
        self,
        config: Any,  # noqa: ANN401
        known: list[str],
        changes: dict[str, Any],
        chosen: str | None,
    ) -> None:
        """Put a checkpoint that changes some channels of the one it comes from."""
        values, versions = self.held[chosen] if chosen else ({}, {})
        values, versions, new = dict(values), dict(versions), dict[str, Any]()
        for channel, (how, value) in changes.items():
            new[channel] = versions[channel] = self.counter
            old = values.get(channel)
            if how == "gone":
                values.pop(channel, None)
                del new[channel], versions[channel]
            elif how == "empty":
                values.pop(channel, None)
            elif how == "grow" and isinstance(old, _DeltaSnapshot):
                values[channel] = _DeltaSnapshot([*old.value, *value])
            elif how == "grow" and isinstance(old, list):
                values[channel] = [*old, *value]
            else:
                values[channel] = value
        checkpoint_id = str(uuid6(clock_seq=self.counter % 100))
        metadata: Any = {"step": self.counter, "source": "loop"}
        made = put(values, versions, checkpoint_id)
        for each in self.savers:
            await each.aput(config, made, metadata, new)
        self.held[checkpoint_id] = values, versions
        known.append(checkpoint_id)


def seen(found: CheckpointTuple | None) -> Any:  # noqa: ANN401
    """What can be compared."""
    if found is None:
        return None
    return found._replace(pending_writes=list(found.pending_writes or []))
