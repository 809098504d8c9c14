"""
A message of any framework, as a person reads it.

Who keeps a message decides how it looks; the forms known here are those of the contract, of the
APIs of OpenAI and Anthropic, and of what LangChain, LlamaIndex, Pydantic AI and ADK store.
What is not known is shown as JSON.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["text", "call", "result", "other"]

_ABOUT: Final = ("name", "tool_call_id")
_CONTENTS: Final = ("content", "blocks", "parts")
_BESIDE: Final = frozenset(
    {"role", "author", "type", "tool_calls", *_CONTENTS, *_ABOUT}
    | {"id", "created_at", "persisted_at", "discrete_memory_extracted"}
)
_NO_CONTENT: Final[tuple[object, ...]] = (None, "", [], {})
_ROLES: Final = {"human": "user", "ai": "assistant", "model": "assistant"}


@dataclass(frozen=True, slots=True)
class Said:
    """
    What a message says.

    ``parts``: texts and their kinds: what was said, a call of a tool, its result, anything else.
    ``about``: whose name it has, and which call it answers.
    """

    role: str
    parts: tuple[tuple[Kind, str], ...]
    about: str = ""


def said(message: Mapping[str, Any]) -> Said:
    """Return what a message says, safe to print: no control characters but newlines."""
    inner = message.get("data")
    if isinstance(message.get("type"), str) and isinstance(inner, dict):
        message = {"role": message["type"], **inner}  # LangChain
    role = message.get("role") or message.get("author") or message.get("type") or "?"
    role = _ROLES.get(str(role), str(role))
    parts = [(kind, clean(text)) for kind, text in _parts(message) if text]
    about = "" if _is_part(message) else " ".join(_names_in(message))
    return Said(one_line(role), tuple(parts) or (("other", clean(_json(message))),), about)


def _names_in(message: Mapping[str, Any]) -> Iterator[str]:
    for name in _ABOUT:
        if (value := message.get(name)) not in _NO_CONTENT:
            yield one_line(value if isinstance(value, str) else _json(value))


def clean(text: str) -> str:
    """
    Return a text as a terminal may have it.

    What moves its cursor, colours what comes after, turns the direction of writing or cannot be
    seen is told by its number; spaces of other scripts and what joins letters stay.
    """
    if text.isprintable():
        return text
    return "".join(char if _may_stay(char) else _told(char) for char in text)


def one_line(text: str) -> str:
    """Return a text as a terminal may have it, on one line."""
    return clean(text).replace("\n", "\\n").replace("\t", "\\t")


def clean_json(text: str) -> str:
    """Return JSON text that means the same, and that a terminal may have."""
    if text.isprintable():
        return text
    return "".join(char if _may_stay(char) else json.dumps(char)[1:-1] for char in text)


def _may_stay(char: str) -> bool:
    return (
        char.isprintable()
        or char in "\n\t\u200c\u200d"
        or unicodedata.category(char) in {"Zs", "Cn", "Co"}
    )


def _told(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _parts(message: Mapping[str, Any]) -> Iterator[tuple[Kind, str]]:
    if _is_part(message):  # an item of its own, as OpenAI's calls and reasoning are
        yield from _part(message)
        return
    for name in _CONTENTS:
        yield from _content(message, message.get(name))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        yield "call", _call(call)
    beside = {
        name: value
        for name, value in message.items()
        if name not in _BESIDE and value not in _NO_CONTENT
    }
    if not isinstance(calls, list | None):
        beside["tool_calls"] = calls
    if beside:
        yield "other", _json(beside)


def _content(message: Mapping[str, Any], content: object) -> Iterator[tuple[Kind, str]]:
    if isinstance(content, dict) and "parts" in content:
        content = content["parts"]  # ADK
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield _kind_of_text(message), part
        elif isinstance(part, dict):
            yield from _part(part)
        elif part is not None:
            yield "other", _json(part)


def _kind_of_text(message: Mapping[str, Any]) -> Kind:
    return "result" if message.get("role") in ("tool", "function") else "text"


def _is_part(message: Mapping[str, Any]) -> bool:
    return "role" not in message and any(
        isinstance(message.get(name), str) for name in ("type", "part_kind", "block_type")
    )


def _part(part: Mapping[str, Any]) -> Iterator[tuple[Kind, str]]:
    kind = str(part.get("type") or part.get("part_kind") or part.get("block_type") or "")
    call = part.get("functionCall") or part.get("function_call")
    response = part.get("functionResponse") or part.get("function_response")
    if call:
        yield "call", _call(call)
    elif response:
        yield "result", _result(response)
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


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
