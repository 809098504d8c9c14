"""Checkpoints for tests, and what the store was sent. For who has LangGraph."""

from typing import Any

from langgraph.checkpoint.base import Checkpoint, empty_checkpoint

from support.valkey import ValkeyServer


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


def put(values: dict[str, Any], versions: dict[str, int], checkpoint_id: str) -> Checkpoint:
    """A checkpoint with these values."""
    made = empty_checkpoint()
    made["id"], made["channel_values"], made["channel_versions"] = (
        checkpoint_id,
        values,
        {**versions},
    )
    return made
