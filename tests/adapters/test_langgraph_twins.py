import asyncio
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("langgraph.checkpoint")
pytest.importorskip("langgraph.checkpoint.conformance")

from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    CheckpointTuple,
)
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, _DeltaSnapshot

from memory_cache import (
    open_cache,
)
from memory_cache.adapters.langgraph import MemoryCacheSaver
from support.checkpoints import put
from support.valkey import ValkeyServer

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
