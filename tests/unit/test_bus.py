"""What a fence may be answered by, and the generation that its answer is for."""

from typing import cast

import pytest
from redis.asyncio.connection import AbstractConnection

from memory_cache._ports import BusHandler, FenceReply
from memory_cache._redis.bus import _Subscription
from memory_cache._redis.connect import Node
from memory_cache._redis.keys import Keys

OURS = Node("run", "replid")


@pytest.mark.parametrize(
    ("reply", "writer", "doubt"),
    [
        (FenceReply(1, "epoch", "replid"), OURS, None),
        (FenceReply(2, "epoch", "replid"), Node("run", "another"), None),
        (FenceReply(0, "epoch", "replid"), OURS, "nobody received the fence"),
        (FenceReply(1, "epoch", "replid"), None, "writes go to another process of the store"),
        (
            FenceReply(1, "epoch", "replid"),
            Node("another", "replid"),
            "writes go to another process of the store",
        ),
        (FenceReply(1, "epoch", "another"), OURS, "the store's replication id changed"),
    ],
)
async def test_doubt(reply: FenceReply, writer: Node | None, doubt: str | None) -> None:
    """A fence proves the subscription only if its own process answered, in its own history."""
    subscription = _Subscription(
        cast("AbstractConnection", None), OURS, Keys("mc", 0), cast("BusHandler", None), "fence"
    )
    assert subscription.doubt(reply, writer) == doubt
