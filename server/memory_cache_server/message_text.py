"""
A message of any framework, as a person reads it.

Who keeps a message decides how it looks; the forms known here are those of the contract, of the
APIs of OpenAI and Anthropic, and of what LangChain, LlamaIndex, Pydantic AI and ADK store.
What is not known is shown as JSON: nothing of a message is hidden.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["text", "call", "result", "other"]

_BESIDE: Final = frozenset(
    {"role", "content", "id", "created_at", "persisted_at", "discrete_memory_extracted"}
)
_NO_CONTENT: Final[tuple[object, ...]] = (None, "", [], {})
_ROLES: Final = {"human": "user", "ai": "assistant", "model": "assistant"}


@dataclass(frozen=True, slots=True)
class Said:
    """
    What a message says.

    ``parts``: texts and their kinds: what was said, a call of a tool, its result, anything else.
    """

    role: str
    parts: tuple[tuple[Kind, str], ...]


def said(message: Mapping[str, Any]) -> Said:
    """Return what a message says, safe to print: no control characters but newlines."""
    inner = message.get("data")
    if isinstance(message.get("type"), str) and isinstance(inner, dict):
        message = {"role": message["type"], **inner}  # LangChain
    role = message.get("role") or message.get("author") or message.get("type") or "?"
    role = _ROLES.get(str(role), str(role))
    parts = [(kind, clean(text)) for kind, text in _parts(message) if text]
    return Said(clean(role), tuple(parts) or (("other", clean(_json(message))),))


def clean(text: str) -> str:
    """Return a text without what moves a terminal's cursor, or colours what comes after."""
    if text.isprintable():
        return text
    return "".join(
        char if char in "\n\t" or char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


def _parts(message: Mapping[str, Any]) -> Iterator[tuple[Kind, str]]:
    if _is_part(message):  # an item of its own, as OpenAI's calls and reasoning are
        yield from _part(message)
        return
    content = next(
        (found for name in ("content", "blocks", "parts") if (found := message.get(name))), None
    )
    if isinstance(content, dict) and "parts" in content:
        content = content["parts"]  # ADK
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield _kind_of_text(message), part
        elif isinstance(part, dict):
            yield from _part(part)
        elif part is not None:
            yield "other", _json(part)
    for call in _list(message.get("tool_calls")):
        yield "call", _call(call)
    beside = {
        name: value
        for name, value in message.items()
        if name not in _BESIDE | {"tool_calls", "blocks", "parts", "author", "type"}
        and value not in _NO_CONTENT
    }
    if beside:
        yield "other", _json(beside)


def _kind_of_text(message: Mapping[str, Any]) -> Kind:
    return "result" if message.get("role") in {"tool", "function"} else "text"


def _is_part(message: Mapping[str, Any]) -> bool:
    return "role" not in message and any(
        isinstance(message.get(name), str) for name in ("type", "part_kind", "block_type")
    )


def _part(part: Mapping[str, Any]) -> Iterator[tuple[Kind, str]]:
    kind = str(part.get("type") or part.get("part_kind") or part.get("block_type") or "")
    if "functionCall" in part or "function_call" in part:
        yield "call", _call(part.get("functionCall") or part["function_call"])
    elif "functionResponse" in part or "function_response" in part:
        found = part.get("functionResponse") or part["function_response"]
        yield "result", _result(found)
    elif kind in {"function_call", "tool_use", "tool-call", "tool_call"}:
        yield "call", _call(part)
    elif kind in {"function_call_output", "tool_result", "tool-return"}:
        yield "result", _result(part)
    elif isinstance(text := part.get("text", part.get("content")), str) and _only_text(part):
        yield "text", text
    else:
        yield "other", _json(part)


def _only_text(part: Mapping[str, Any]) -> bool:
    """Whether a part is a text of what was said, and not a thought, or an image with a caption."""
    kind = str(part.get("type") or part.get("part_kind") or part.get("block_type") or "text")
    return kind in {"text", "input_text", "output_text", "user-prompt", "system-prompt"}


def _call(call: object) -> str:
    if not isinstance(call, dict):
        return _json(call)
    inner = call["function"] if isinstance(call.get("function"), dict) else call
    name = inner.get("name") or inner.get("tool_name") or "?"
    names = ("arguments", "args", "input", "tool_kwargs")
    arguments: object = next((inner[key] for key in names if key in inner), {})
    return f"{name}({arguments if isinstance(arguments, str) else _json(arguments)})"


def _result(result: object) -> str:
    if not isinstance(result, dict):
        return _json(result)
    found = next((result[k] for k in ("output", "content", "response") if k in result), result)
    return found if isinstance(found, str) else _json(found)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
