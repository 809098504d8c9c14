"""The methods of a checkpointer that are not awaited: nodes that are not call subgraphs by them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)

from memory_cache.adapters._source import CacheSource


class SaverForThreads(BaseCheckpointSaver[int]):
    """
    A checkpointer whose methods that are not awaited wait for those that are.

    In another thread than that of the cache's event loop, while it runs; else they raise
    ``RuntimeError``, and ``TimeoutError`` where that loop gives no answer.
    """

    _source: CacheSource

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As ``aget_tuple``, for other threads."""
        instead = _instead("await saver.aget_tuple(…)", "await graph.ainvoke(…)")
        return self._source.waited(lambda: self.aget_tuple(config), instead)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  theirs
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As ``alist``, for other threads; each checkpoint is waited for on its own."""
        instead = _instead("async for … in saver.alist(…)", "graph.aget_state_history(…)")
        found = self.alist(config, filter=filter, before=before, limit=limit)
        return self._source.waited_each(found, instead)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As ``aput``, for other threads."""
        instead = _instead("await saver.aput(…)", "await graph.ainvoke(…)")
        return self._source.waited(
            lambda: self.aput(config, checkpoint, metadata, new_versions), instead
        )

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As ``aput_writes``, for other threads."""
        instead = _instead("await saver.aput_writes(…)", "await graph.ainvoke(…)")
        self._source.waited(lambda: self.aput_writes(config, writes, task_id, task_path), instead)

    def delete_thread(self, thread_id: str) -> None:
        """As ``adelete_thread``, for other threads."""
        self._source.waited(
            lambda: self.adelete_thread(thread_id), "`await saver.adelete_thread(…)`"
        )

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As ``aget_delta_channel_history``, for other threads."""
        instead = _instead("await saver.aget_delta_channel_history(…)", "await graph.ainvoke(…)")
        return self._source.waited(
            lambda: self.aget_delta_channel_history(config=config, channels=channels), instead
        )


def _instead(call: str, of_a_graph: str) -> str:
    return f"`{call}`, and of a graph `{of_a_graph}`"
