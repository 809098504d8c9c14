"""
Values of Pydantic AI as JSON values, and back.

They are read as JSON, not as Python's values: only there is base64 read back as the bytes it
stands for. For what JSON does not hold a name stands there, and the value is put in afterwards.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import uuid4

from pydantic import BaseModel, TypeAdapter

from memory_cache import InvalidInputError
from memory_cache.adapters._carrier import CARRIED, as_in_python, unpacked, value_of

T = TypeVar("T")

_FAILS: Final = (TypeError, ValueError, RecursionError)


def dumped(adapter: TypeAdapter[T], value: T) -> Any:  # noqa: ANN401  # any JSON value
    """
    Return JSON values.

    Raises:
        InvalidInputError: Pydantic makes none of it.
    """
    try:
        return as_in_python(adapter.dump_python(value, mode="json"), adapter.dump_python(value))
    except _FAILS as error:
        raise InvalidInputError("message", f"cannot be kept as JSON ({error})") from None


def named(lines: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return lines in which names stand for what was carried, and the values by these names."""
    values: dict[str, Any] = {}
    run = uuid4().hex

    def name_of(text: str) -> str:
        name = f"{run}-{len(values)}"
        values[name] = value_of(text)
        return name

    return [unpacked(line, name_of) if CARRIED in line else line for line in lines], values


def filled(value: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401  # any value
    """Return a value in which the named values stand in place of their names."""
    if not values:
        return value
    if isinstance(value, str):
        return values.get(value, value)
    if isinstance(value, dict):
        return {key: filled(inner, values) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(filled(inner, values) for inner in value)
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            # Past the class's own way, for some are frozen.
            object.__setattr__(value, field.name, filled(getattr(value, field.name), values))
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            object.__setattr__(value, name, filled(getattr(value, name), values))
    return value
