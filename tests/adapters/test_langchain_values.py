import pytest

pytest.importorskip("langchain_core")

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, message_to_dict

from memory_cache import InvalidInputError, SessionCache
from memory_cache.adapters.langchain import MemoryCacheChatMessageHistory
from support.values import EXTREME, LONG, exact, nested

pytestmark = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.deprecation.LangChainDeprecationWarning"
)


@pytest.mark.parametrize("value", [*EXTREME, nested(190), LONG])
async def test_come_back(cache: SessionCache, other_cache: SessionCache, value: object) -> None:
    """What JSON does not hold unchanged, or others may not write, comes back on any worker."""
    call = {"name": "f", "args": {"x": value}, "id": "c", "type": "tool_call"}
    messages: list[BaseMessage] = [
        AIMessage("half \ud800", additional_kwargs={"k": value}, tool_calls=[call]),
        ToolMessage("3", tool_call_id="c", artifact=[value]),
    ]
    await MemoryCacheChatMessageHistory("s", cache).aadd_messages(messages)
    found = await MemoryCacheChatMessageHistory("s", other_cache).aget_messages()
    assert exact([*map(message_to_dict, found)]) == exact([*map(message_to_dict, messages)])


async def test_no_json(cache: SessionCache) -> None:
    """What Python's JSON does not write is refused, with the messages beside it."""
    history = MemoryCacheChatMessageHistory("s", cache)
    with pytest.raises(InvalidInputError):
        await history.aadd_messages(
            [AIMessage("a"), ToolMessage("3", tool_call_id="c", artifact=object())]
        )
    assert await history.aget_messages() == []
