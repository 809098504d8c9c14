"""
A conversation of an agent made with the OpenAI Agents SDK, with a fake model: no key is needed.

    python examples/agents_loop.py "I am Ada" "Who am I?"

Run it again, and the conversation goes on where it ended.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from agents import (
    Agent,
    Model,
    ModelResponse,
    Runner,
    TResponseInputItem,
    Usage,
    set_tracing_disabled,
)
from agents.items import TResponseStreamEvent
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from memory_cache import open_cache
from memory_cache.adapters.openai_agents import MemoryCacheSession


class FakeModel(Model):
    """Answers with all it was told, so that one sees what reached it."""

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],  # noqa: A002  the SDK passes it by this name
        *_: object,
        **__: object,
    ) -> ModelResponse:
        """Answer from the whole input, as a real model would."""
        del system_instructions
        items: list[Any] = [{"role": "user", "content": input}] if isinstance(input, str) else input
        told = [item["content"] for item in items if item.get("role") == "user"]
        text = ResponseOutputText(
            text=f"You told me: {'; '.join(told)}", type="output_text", annotations=[]
        )
        message = ResponseOutputMessage(
            id="fake", content=[text], role="assistant", status="completed", type="message"
        )
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *_: object, **__: object) -> AsyncIterator[TResponseStreamEvent]:
        """Refuse: nothing is streamed here."""
        raise NotImplementedError


async def main(turns: list[str]) -> None:
    """Say each of these to the agent; the session remembers what was said before."""
    set_tracing_disabled(disabled=True)
    agent = Agent(name="Echo", instructions="Be brief.", model=FakeModel())
    async with open_cache(os.environ.get("REDIS_URL", "redis://localhost:6379")) as cache:
        session = MemoryCacheSession("conversation-1", cache, namespace="demo")
        for turn in turns:
            result = await Runner.run(agent, turn, session=session)
            print(f"> {turn}\n{result.final_output}")
        kept = await session.get_items()
        print(f"{len(kept)} items are kept")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["I am Ada", "Who am I?"]))
