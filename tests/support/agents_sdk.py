"""Items, a model and a tool for tests. For who has the OpenAI Agents SDK."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import agents
from agents.items import ModelResponse
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "naïve 👋 \u2028 line"},
    {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]},
    {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'},
    {"type": "function_call_output", "call_id": "c1", "output": "2"},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None},
    {"content": "keys in this order", "b": 1.0, "a": 1, "role": "assistant", "c": 1e-7},
]


def as_items(items: list[dict[str, Any]]) -> list[agents.TResponseInputItem]:
    """Plain dictionaries, for the type checker."""
    return cast("list[agents.TResponseInputItem]", items)


def text(value: object) -> str:
    """JSON in the order of its keys: equal texts, equal bytes."""
    return json.dumps(value)


class ScriptedModel(agents.Model):
    """Calls the tool, then answers; notes what it was given."""

    def __init__(self) -> None:
        self.seen: list[list[Any]] = []

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:  # noqa: ANN401  theirs
        """Answer by what came last."""
        given = named["input"] if "input" in named else args[1]
        self.seen.append(list(given))
        output: Any
        if given[-1].get("type") == "function_call_output":
            part = ResponseOutputText(type="output_text", text="done", annotations=[])
            output = ResponseOutputMessage(
                id="m", type="message", role="assistant", status="completed", content=[part]
            )
        else:
            output = ResponseFunctionToolCall(
                type="function_call", call_id="c", name="add", arguments='{"a": 1, "b": 2}'
            )
        return ModelResponse(output=[output], usage=agents.Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:  # noqa: ANN401  theirs
        """Not used."""
        raise NotImplementedError


@agents.function_tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
