"""Checkpoints as LangGraph has them, read back from a log: values, writes, what led to them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_id,
    writes_sort_key,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from memory_cache import DamagedSessionError
from memory_cache.adapters._langgraph_log import WHAT, Line, Log
from memory_cache.adapters._langgraph_values import Values, unpacked
from memory_cache.adapters._reading import reading

PREFIX: Final = "ns:"
"""What the id of a session begins with; the checkpoint namespace follows, which may be empty."""


class Reader:
    """The checkpoints of one log."""

    def __init__(self, serde: SerializerProtocol, log: Log, values: Values) -> None:
        """Read a log, and its thread's values."""
        self.log = log
        self._serde = serde
        self._values = values

    async def target(self, config: RunnableConfig) -> str | None:
        """Return the id of the checkpoint that is meant, if there is one."""
        wanted = get_checkpoint_id(config)
        if wanted:
            return None if await self.log.find(wanted) is None else wanted
        async for newest in self.log.newest_first():
            return newest
        return None

    async def has(self, checkpoint_id: str, wanted: dict[str, Any]) -> bool:
        """Whether the metadata of a checkpoint has these values."""
        line = await self._line(checkpoint_id)
        with reading(WHAT):
            metadata: dict[str, Any] = {**unpacked(self._serde, line["metadata"])}
        return all(metadata.get(key) == value for key, value in wanted.items())

    async def checkpoint(self, checkpoint_id: str) -> CheckpointTuple:
        """Return a checkpoint of the log, with its values and writes."""
        key, line = self.log.session.key, await self._line(checkpoint_id)
        name, parent = key.session_id.removeprefix(PREFIX), line["parent"]
        with reading(WHAT):
            loaded = [
                (channel, await self._values.load(self._serde, self.log, channel, stored))
                for channel, stored in line["values"].items()
            ]
            checkpoint = cast("Checkpoint", {**unpacked(self._serde, line["data"])})
            checkpoint["channel_values"] = dict(loaded)
            metadata = cast("CheckpointMetadata", {**unpacked(self._serde, line["metadata"])})
            return CheckpointTuple(
                config=config_of(key.user_id, name, checkpoint_id),
                checkpoint=checkpoint,
                metadata=metadata,
                parent_config=config_of(key.user_id, name, parent) if parent else None,
                pending_writes=await self._writes(checkpoint_id),
            )

    async def delta_history(
        self, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what was written to channels since each had a value, from one way back."""
        found: dict[str, DeltaChannelHistory] = {each: {"writes": []} for each in channels}
        left = set(channels)
        target = await self.target(config) if left else None
        before = set[str]()
        while target is not None and left:
            if target in before:
                raise DamagedSessionError("the checkpoints of a thread of LangGraph go in a ring")
            before.add(target)
            parent = (await self._line(target))["parent"]
            seq = await self.log.find(parent) if parent else None
            if seq is None:
                break
            writes, stored = await self._writes(parent), (await self.log.line(seq))["values"]
            for channel in sorted(left):
                found[channel]["writes"][:0] = [each for each in writes if each[1] == channel]
                if channel in stored:
                    with reading(WHAT):
                        found[channel]["seed"] = await self._values.load(
                            self._serde, self.log, channel, stored[channel]
                        )
                    left.discard(channel)
            target = parent
        return found

    async def _line(self, checkpoint_id: str) -> Line:
        return await self.log.line(await self.log.find(checkpoint_id) or 0)

    async def _writes(self, checkpoint_id: str) -> list[PendingWrite]:
        """Return the writes of a checkpoint in the order in which they are applied."""
        written: dict[tuple[str, str, int], tuple[str, Line]] = {}
        places: dict[tuple[str, int], tuple[str, str, int]] = {}
        lines = await self.log.writes(checkpoint_id)
        with reading(WHAT):
            items = [(line, *item) for line in lines for item in line["items"]]
            for line, at, channel, part in items:
                key = writes_sort_key(line["task_path"], line["task_id"], at)
                earlier = places.get((line["task_id"], at))
                if earlier is not None and at >= 0:
                    continue  # the first stays; of errors, interrupts and the like the last does
                if earlier is not None:
                    del written[earlier]
                places[line["task_id"], at] = key
                written[key] = channel, part
            return [
                (task_id, channel, unpacked(self._serde, part))
                for (_, task_id, _), (channel, part) in sorted(written.items())
            ]


def place_of(config: RunnableConfig) -> tuple[str, str]:
    """Return the thread and the checkpoint namespace that are meant."""
    configurable = config["configurable"]
    return str(configurable["thread_id"]), configurable.get("checkpoint_ns", "")


def config_of(thread: str, name: str, checkpoint_id: str) -> RunnableConfig:
    """Return what means one checkpoint."""
    return {
        "configurable": {
            "thread_id": thread,
            "checkpoint_ns": name,
            "checkpoint_id": checkpoint_id,
        }
    }
