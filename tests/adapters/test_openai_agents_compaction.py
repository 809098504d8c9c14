from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("agents")

import agents
from agents.items import ModelResponse
from agents.memory import OpenAIResponsesCompactionSession, SessionSettings
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from memory_cache import SessionCache
from memory_cache.adapters.openai_agents import MemoryCacheSession
from support.agents_sdk import ScriptedModel

SUMMARY: Any = {"type": "compaction", "id": "cmp", "encrypted_content": "AA"}


class Answering(ScriptedModel):
    """Answers, under the id of a response of OpenAI's."""

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:  # noqa: ANN401  theirs
        """Answer whatever came."""
        del args, named
        part = ResponseOutputText(type="output_text", text="yes", annotations=[])
        message = ResponseOutputMessage(
            id="m", type="message", role="assistant", status="completed", content=[part]
        )
        return ModelResponse(output=[message], usage=agents.Usage(), response_id="resp_1")


@pytest.mark.parametrize(("limit", "compacted"), [(None, True), (2, False)])
async def test_compaction(cache: SessionCache, limit: int | None, *, compacted: bool) -> None:
    """The SDK compacts a session of ours by itself; not if a limit hides a part from the model."""
    agents.set_tracing_disabled(disabled=True)

    async def compact(**_: object) -> Any:  # noqa: ANN401  awaited by the SDK
        return SimpleNamespace(output=[SUMMARY], usage=None)

    ours = MemoryCacheSession("s", cache, session_settings=SessionSettings(limit=limit))
    client: Any = SimpleNamespace(responses=SimpleNamespace(compact=compact))
    session = OpenAIResponsesCompactionSession(
        "s",
        ours,
        client=client,
        should_trigger_compaction=lambda given: len(given["session_items"]) > 5,
    )
    agent = agents.Agent(name="a", model=Answering())
    for _ in range(3):
        await agents.Runner.run(agent, "hi", session=session)
    items = await ours.get_items(limit=100)
    assert (items == [SUMMARY]) is compacted
    assert (len(items) == 6) is not compacted
