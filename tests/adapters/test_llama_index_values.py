import json
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ToolCallBlock
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore
from sqlalchemy.ext.asyncio import create_async_engine

from memory_cache import SessionCache
from memory_cache.adapters.llama_index import MemoryCacheChatStore
from support.values import EXTREME, LONG, exact, nested


@pytest.fixture
async def reference() -> AsyncIterator[SQLAlchemyChatStore]:
    """LlamaIndex's own store, over SQLite in memory."""
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    yield SQLAlchemyChatStore(table_name="t", async_engine=engine)
    await engine.dispose()


# One with half of a surrogate pair in a key is dumped by neither.
@pytest.mark.parametrize("value", [*EXTREME[:-1], nested(190), LONG])
async def test_as_llama_index_s_own(
    cache: SessionCache, other_cache: SessionCache, reference: SQLAlchemyChatStore, value: object
) -> None:
    """What LlamaIndex's own store keeps comes back on any worker, active, archived and deleted."""
    blocks = [
        TextBlock(text="half \ud800"),
        ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"a": value}),
        ImageBlock(image=b"QUJD" * 300_000, image_mimetype="image/png"),
    ]
    sent = [
        ChatMessage(role="assistant", blocks=blocks[:-1], additional_kwargs={"k": value}),
        ChatMessage(role="user", blocks=blocks[1:]),
        ChatMessage(role="tool", content="x", additional_kwargs={"k": [value]}),
    ]
    one, other = (MemoryCacheChatStore(each) for each in (cache, other_cache))
    for store in (one, reference):
        await store.add_messages("k", sent)
        await store.archive_oldest_messages("k", 1)

    def dumped(messages: list[ChatMessage]) -> str:
        # What theirs makes of two halves that follow each other is one character.
        return exact(json.loads(json.dumps([each.model_dump(mode="json") for each in messages])))

    for status in (None, MessageStatus.ACTIVE, MessageStatus.ARCHIVED):
        theirs = await reference.get_messages("k", status)
        assert dumped(await other.get_messages("k", status)) == dumped(theirs)
    gone = await other.delete_message("k", 0)
    assert gone is not None
    assert dumped([gone]) == dumped(sent[:1])
    assert dumped(await one.get_messages("k", None)) == dumped(sent[1:])
