"""
A checkpointer of LangGraph.

    async with open_cache("redis://localhost:6379") as cache:
        graph = builder.compile(checkpointer=MemoryCacheSaver(cache))
        await graph.ainvoke(turn, {"configurable": {"thread_id": "chat-1"}})

A namespace of a thread is one session, to which every checkpoint and every task's writes are added.
What a step costs does not grow with the thread, neither with ``DeltaChannel`` nor with the list of
messages that other graphs have; see ``_langgraph_values``.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

import memory_cache as mc
from memory_cache.adapters._langgraph_log import Line, Log
from memory_cache.adapters._langgraph_reader import PREFIX, Reader, config_of, place_of
from memory_cache.adapters._langgraph_sync import SaverForThreads
from memory_cache.adapters._langgraph_ttl import TimeToLive
from memory_cache.adapters._langgraph_values import Stored, Values, known, packed
from memory_cache.adapters._reading import one_of_many
from memory_cache.adapters._source import CacheSource, every_session

_TRIES: Final = 64


class MemoryCacheSaver(SaverForThreads):
    """
    Checkpoints of threads; use a graph's awaited methods (``ainvoke``, ``astream`` …).

    A node of such a graph that is not awaited may call a subgraph by ``invoke``: it runs in a
    thread of its own, where the methods that are not awaited work, too.

    A method raises what ``memory_cache.Session`` raises: ``StoreError`` where Redis does not
    answer, ``InvalidNameError`` for a thread's id that is refused, ``TooLargeError`` for a value
    over ``CacheConfig.max_large_bytes``.
    """

    def __init__(
        self,
        cache: mc.SessionCache | str,
        *,
        config: mc.CacheConfig | None = None,
        namespace: str = "langgraph",
        serde: SerializerProtocol | None = None,
        ttl_seconds: int | None = None,
        wait_seconds: float | None = None,
    ) -> None:
        """
        Keep checkpoints in a namespace of a cache; nothing is sent.

        ``cache``: one that is shared; or a URL, and it has one of its own, made by ``config``.
        Lists that grow are kept in a second namespace, named like the first with ``-lists``.
        ``ttl_seconds``: a thread lives that long after each write, up to an eighth longer, and
        ends as a whole. ``wait_seconds``: how long a method that is not awaited waits; eight times
        the cache's ``store_timeout_seconds`` if not given.
        """
        super().__init__(serde=serde)
        self._source = CacheSource(cache, config, wait_seconds=wait_seconds)
        self._namespace = namespace
        self._lists = f"{namespace}-lists"
        self._ttl = TimeToLive(ttl_seconds, (self._lists, namespace), self._sessions)

    @classmethod
    def from_url(cls, url: str, *, config: mc.CacheConfig | None = None) -> Self:
        """Return a saver with a cache of its own, opened at first use; it is to be closed."""
        return cls(url, config=config)

    async def close(self) -> None:
        """Close a cache of our own; one that was passed in goes on."""
        await self._source.aclose()

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Add a checkpoint, whole or not at all; cancelled, some elements of a list may be left."""
        del new_versions  # a value is new if the checkpoint it comes from has another version
        thread, name = place_of(config)
        without = {key: each for key, each in checkpoint.items() if key != "channel_values"}
        about = {
            "checkpoint": checkpoint["id"],
            "parent": get_checkpoint_id(config),
            "data": packed(self.serde, without),
            "metadata": packed(self.serde, get_checkpoint_metadata(config, metadata)),
        }
        for _ in range(_TRIES):
            # A thread that is deleted meanwhile begins anew: nothing of it may be led to.
            with suppress(mc.TranscriptEditedError):
                await self._add(thread, name, about, checkpoint)
                return config_of(thread, name, checkpoint["id"])
        raise mc.StoreError("the thread changes too fast")

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Add what a task has written to a checkpoint; what is there already is not added again."""
        items = [
            [WRITES_IDX_MAP.get(channel, at), channel, packed(self.serde, value)]
            for at, (channel, value) in enumerate(writes)
        ]
        checkpoint_id = config["configurable"]["checkpoint_id"]
        about = {"writes": checkpoint_id, "task_id": task_id, "task_path": task_path}
        if items:
            thread, name = place_of(config)
            ttl_seconds = await self._ttl.left(thread)
            session = await self._session(thread, name)
            await session.append({**about, "items": items}, ttl_seconds=ttl_seconds)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, the newest if none is named; None if there is none."""
        for _ in range(_TRIES):
            with suppress(mc.TranscriptEditedError):  # deleted meanwhile, and perhaps begun anew
                reader = await self._reader(*place_of(config))
                found = await reader.target(config)
                return None if found is None else await reader.checkpoint(found)
        raise mc.StoreError("the thread changes too fast")

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  theirs
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, the newest first; of one namespace, one thread, or all."""
        only = get_checkpoint_id(config) if config else None
        end = get_checkpoint_id(before) if before else None
        left = limit
        for thread, name in await self._logs(config):
            with one_of_many(mc.SessionKey(self._namespace, thread, PREFIX + name)):
                reader = await self._reader(thread, name)
                async for each in reader.log.newest_first():
                    if left is not None and left <= 0:
                        return
                    if (only and each != only) or (end and each >= end):
                        continue
                    if filter and not await reader.has(each, filter):
                        continue
                    yield await reader.checkpoint(each)
                    left = None if left is None else left - 1

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all of a thread's checkpoints and writes."""
        # Of the lists those that were there before: somebody may begin the thread anew meanwhile.
        lists = await self._sessions(self._lists, str(thread_id))
        for session in [*await self._sessions(self._namespace, str(thread_id)), *lists]:
            await session.delete()

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what was written to channels since each had a value, from one way back."""
        reader = await self._reader(*place_of(config))
        return await reader.delta_history(config, channels)

    async def _session(self, thread: str, name: str) -> mc.Session:
        cache = await self._source.get()
        return cache.session(PREFIX + name, namespace=self._namespace, user_id=thread).large()

    async def _sessions(self, namespace: str, thread: str) -> list[mc.Session]:
        """Return all that a thread has in a namespace."""
        cache = await self._source.get()
        return [
            cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)
            for key in await every_session(cache, namespace, thread)
        ]

    async def _log(self, thread: str, name: str) -> Log:
        return await Log.read(await self._session(thread, name))

    async def _reader(self, thread: str, name: str) -> Reader:
        log = await self._log(thread, name)
        return Reader(self.serde, log, Values(await self._source.get(), self._lists, thread))

    async def _logs(self, config: RunnableConfig | None) -> list[tuple[str, str]]:
        """Return the threads and namespaces that a listing is of."""
        configurable = config["configurable"] if config else {}
        if "checkpoint_ns" in configurable:
            return [place_of({"configurable": configurable})]
        thread = str(configurable["thread_id"]) if config else None
        keys = await every_session(await self._source.get(), self._namespace, thread)
        return [(key.user_id, key.session_id.removeprefix(PREFIX)) for key in keys]

    async def _add(self, thread: str, name: str, about: Line, checkpoint: Checkpoint) -> None:
        """
        Add a checkpoint after its parent, with values that are kept as they were there.

        Raises:
            TranscriptEditedError: the thread was deleted meanwhile.
        """
        ttl_seconds = await self._ttl.left(thread)
        log = await self._log(thread, name)
        seq = await log.find(about["parent"]) if about["parent"] else None
        before = {} if seq is None else known(await log.line(seq), seq)
        around = await log.around(checkpoint["id"])
        values = Values(await self._source.get(), self._lists, thread, ttl_seconds)
        kept = await self._kept(values, checkpoint, before)
        past = {at: each for at, each in before.items() if at not in kept and "count" in each}
        for _ in range(_TRIES):
            line = {**about, "values": kept, "past": past, **around}
            try:
                await log.session.append(line, if_version=log.version, ttl_seconds=ttl_seconds)
            except mc.VersionMismatchError:
                newer = await self._log(thread, name)
                if newer.inc != log.inc:
                    raise mc.TranscriptEditedError("the thread was deleted meanwhile") from None
                log, around = newer, await newer.around(checkpoint["id"])
            else:
                return
        raise mc.StoreError("the thread changes too fast")

    async def _kept(
        self, store: Values, checkpoint: Checkpoint, before: Mapping[str, Stored]
    ) -> dict[str, Stored]:
        """Return how a checkpoint's values are kept: those that are not new as they were before."""
        kept, values = dict[str, Stored](), checkpoint["channel_values"]
        for channel, version in checkpoint["channel_versions"].items():
            old = before.get(channel)
            if old is not None and old["version"] == version:
                kept[channel] = old
            elif channel in values:
                kept[channel] = await store.keep(self.serde, values[channel], version, old)
        return kept
