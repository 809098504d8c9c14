"""Values that JSON does not hold unchanged, and others beside them."""

import json
from typing import Any

from hypothesis import strategies as st

CARRIED = "memory-cache:carried"
"""Key by which an adapter says where it has stored a value as text."""

LONG = "x" * 1_200_000
EXTREME: list[Any] = [
    10**21,
    -(10**21),
    2**64,
    -(2**63) - 1,
    float("nan"),
    float("-inf"),
    "half \ud800 %d800",
    "two halves \ud83d\ude00",
    {"\udfff": 1},
]
"""Each of these is refused by the library itself."""

TEXT = st.text(st.characters(codec=None), max_size=8) | st.text(
    st.sampled_from("\ud83d\ude00%a\\"), max_size=4
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    SCALARS | st.sampled_from([*EXTREME, "1000000000000000000000", "NaN"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
"""Any value that Python's own JSON writes."""


def nested(levels: int, value: Any = 1) -> Any:  # noqa: ANN401  # any value
    """A value inside so many arrays and objects."""
    for at in range(levels):
        value = {"k": value} if at % 2 else [value]
    return value


def exact(value: object) -> str:
    """What tells values apart that Python calls equal, and calls equal what is no number twice."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
