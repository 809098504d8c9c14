"""
Values of Pydantic AI as JSON values, and back.

They are read as JSON, not as Python's values: only there is base64 read back as the bytes it
stands for. Pydantic's JSON holds any number; for what else was carried a name stands there, and the
value is put in afterwards.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from uuid import uuid4

import orjson
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


class Named(NamedTuple):
    """Lines in which names stand for what was carried, and the values by these names."""

    lines: list[dict[str, Any]]
    values: dict[str, Any]
    carried: bool

    def json(self, value: object) -> bytes | str:
        """Return the JSON of a part of the lines; Python's own where any number may stand."""
        return json.dumps(value) if self.carried else orjson.dumps(value)


def named(lines: Sequence[dict[str, Any]]) -> Named:
    """Return lines for Pydantic to read: with numbers as they are, and names for the rest."""
    values: dict[str, Any] = {}
    run = uuid4().hex

    def name_of(text: str) -> Any:  # noqa: ANN401  # a number or a name
        value = value_of(text)
        if isinstance(value, (int, float)):
            return value  # where a number must be, a name would be refused
        name = f"{run}-{len(values)}"
        values[name] = value
        return name

    carried = any(CARRIED in line for line in lines)
    return Named([unpacked(line, name_of) for line in lines], values, carried)


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
