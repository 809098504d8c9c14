"""Language models that callers may name, and what their windows leave room for."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

SUMMARIZATION_THRESHOLD: Final = 0.7
"""Part of the window at which the contract would summarize; one of its percentages tells."""

LARGEST_WINDOW: Final = 2**53
"""Windows beyond are all the same to us, and too large for the arithmetic of percentages."""

WINDOWS: Final[Mapping[str, int]] = {
    "gpt-3.5-turbo": 4096,
    "gpt-3.5-turbo-16k": 16384,
    "gpt-4": 8192,
    "gpt-4-32k": 32768,
    "gpt-4o": 128000,
    "gpt-4o-mini": 128000,
    "gpt-4.1": 128000,
    "gpt-4.1-mini": 128000,
    "o1": 200000,
    "o1-mini": 128000,
    "o3-mini": 200000,
    "gpt-5-mini": 400000,
    "gpt-5-nano": 400000,
    "gpt-5.1-chat-latest": 128000,
    "gpt-5.2-chat-latest": 128000,
    "text-embedding-ada-002": 8191,
    "text-embedding-3-small": 8191,
    "text-embedding-3-large": 8191,
    "claude-3-opus-20240229": 200000,
    "claude-3-sonnet-20240229": 200000,
    "claude-3-haiku-20240307": 200000,
    "claude-3-5-sonnet-20240620": 200000,
    "claude-3-7-sonnet-20250219": 200000,
    "claude-3-5-sonnet-20241022": 200000,
    "claude-3-5-haiku-20241022": 200000,
    "claude-3-7-sonnet-latest": 200000,
    "claude-3-5-sonnet-latest": 200000,
    "claude-3-5-haiku-latest": 200000,
    "claude-3-opus-latest": 200000,
    "claude-sonnet-4-5-20250929": 200000,
    "claude-haiku-4-5-20251001": 200000,
    "claude-opus-4-5-20251101": 200000,
    "claude-sonnet-4-5": 200000,
    "claude-haiku-4-5": 200000,
    "claude-opus-4-5": 200000,
}
"""Tokens each model can read; the contract counts every message as if for one encoding."""

_NAMES = [repr(name) for name in WINDOWS]
_EXPECTED = {"expected": f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}"}


def _known(name: object) -> str:
    if isinstance(name, str) and name in WINDOWS:
        return name
    raise PydanticCustomError("literal_error", "Input should be {expected}", _EXPECTED)


ModelName = Annotated[
    str, PlainValidator(_known), WithJsonSchema({"type": "string", "enum": list(WINDOWS)})
]


def window_of(model_name: str | None, context_window_max: int | None) -> int | None:
    """
    Return how many tokens an answer may hold; None: as many as there are.

    It may be zero or negative, which callers can ask for: one message is answered then.
    """
    if not model_name and not context_window_max:
        return None
    if context_window_max is None:
        return WINDOWS[model_name or ""]
    return max(-LARGEST_WINDOW, min(context_window_max, LARGEST_WINDOW))


def percentages(
    tokens: int, window: int | None, *, empty: bool
) -> tuple[float | None, float | None]:
    """Return how full the window is, and how near to being summarized, of 100 at most."""
    if window is None:
        return None, None
    if empty:
        return 0.0, 0.0
    if window <= 0:
        return None, None
    threshold = int(window * SUMMARIZATION_THRESHOLD)
    until = tokens / threshold * 100 if threshold > 0 else 100.0
    return min(tokens / window * 100, 100.0), min(until, 100.0)
