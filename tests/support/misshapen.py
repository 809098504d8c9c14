"""Stored values that are JSON and none of an adapter's: each is changed at one place."""

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

from support.values import CARRIED

Value = dict[str, Any]


class Misshapen(NamedTuple):
    """A value that was changed. ``plain``: another value of a kind that could be there."""

    what: str
    value: Value
    plain: bool


def misshapen(value: Value) -> Iterator[Misshapen]:
    """Each way in which a value is not as an adapter has stored it."""
    yield Misshapen("{}", {}, plain=False)
    for path in _paths(value):
        made = copy.deepcopy(value)
        inner: Any = made
        for step in path[:-1]:
            inner = inner[step]
        before = inner[path[-1]]
        del inner[path[-1]]
        yield Misshapen(f"without {path}", made, plain=False)
        for other in _others(before):
            made = copy.deepcopy(value)
            inner = made
            for step in path[:-1]:
                inner = inner[step]
            inner[path[-1]] = other
            plain = other is None or type(other) is type(before)
            yield Misshapen(f"{path} = {other}", made, plain)
    for tree in _trees(value):
        yield Misshapen(f"{CARRIED} = {str(tree)[:50]}", {**value, CARRIED: tree}, plain=False)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2])
    for step, each in inner:
        yield (*path, step)
        if isinstance(each, (dict, list)):
            yield from _paths(each, (*path, step))


def _others(value: object) -> list[Any]:
    if isinstance(value, int):
        return [None, -1, 10**6, "x"]
    return [None, -1, "x", [], {"x": "x"}]


def _trees(value: Value) -> Iterator[Any]:
    """What may say where texts stand for values, and says it of none."""
    yield from (7, True, None, [], {}, {"nowhere": 1}, {CARRIED: 1})
    yield from ("x", "7", "[]", '[["a",1]]', '""', "%zzzz", "[" * 2000, "1" * 5000)
    for key, inner in value.items():
        wrong: tuple[Any, ...] = (2, 1.0, True, "x", None, [], {}, {"x": 1})
        yield from ({key: where} for where in wrong)
        if not isinstance(inner, str):
            yield {key: 1}
        if isinstance(inner, list):
            yield from ({key: {at: 1}} for at in ("-1", " 0", "+0", "0_0", "00", "99", "x"))
