from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memory_cache import DamagedSessionError, InvalidInputError
from memory_cache._json import canonical
from memory_cache.adapters._carrier import CARRIED, packed, unpacked
from support.values import EXTREME, JSON, TEXT, exact, nested

NAMES = TEXT | st.sampled_from([CARRIED, "a"])


def through(message: dict[str, Any]) -> dict[str, Any]:
    """A message, stored and read."""
    stored = canonical(packed(message), "message", max_depth=64)
    return unpacked(orjson.loads(stored))


@given(st.dictionaries(NAMES, JSON, max_size=3), st.integers(0, 120))
@example({CARRIED: {"a": 1}, "a": "1"}, 0)
@example({CARRIED: "{}"}, 0)
@example({"a": {CARRIED: {"b": 1}, "b": 10**21}}, 0)
def test_reads_back(message: dict[str, Any], levels: int) -> None:
    """Whatever Python's JSON writes is read back as it was, also what looks like our marks."""
    whole = {"inside": nested(levels, message), **message}
    assert exact(through(whole)) == exact(whole)


@pytest.mark.parametrize("value", [*EXTREME, nested(63), nested(400)])
def test_the_rest_stays_plain(value: object) -> None:
    """Only a value that needs it is stored as text, and other readers find all else in place."""
    message = {"role": "user", "content": "hi", "args": {"n": value, "m": [1, None]}}
    stored = packed(message)
    assert isinstance(stored["args"]["n"], (str, dict, list))
    assert {**stored, "args": {**stored["args"], "n": value}, CARRIED: 0} == {**message, CARRIED: 0}
    assert exact(through(message)) == exact(message)


def test_numbers_are_their_digits() -> None:
    """A number beyond 64 bits is stored as its digits."""
    assert packed({"n": [1, 10**21]}) == {
        "n": [1, "1000000000000000000000"],
        CARRIED: {"n": {"1": 1}},
    }


@pytest.mark.parametrize(
    "message", [{"a": None, "b": [1.5, "\u2028 %d800 👋"]}, {"deep": nested(63)}, {}]
)
def test_common_messages_are_stored_as_they_are(message: dict[str, Any]) -> None:
    """What JSON holds is stored as it is, and read so."""
    assert packed(message) == message == unpacked(message)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", nested(600), {"a": {(1, 2): 3}}])
def test_no_json(value: object) -> None:
    """What Python's JSON does not write is refused, as is what it might not read."""
    with pytest.raises(InvalidInputError, match="items"):
        packed({"a": value, "n": 10**21}, "items[0]")
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InvalidInputError):
        packed({"a": loop})


@pytest.mark.parametrize("where", [{"a": {"b": 1}}, {"x": 1}, {"a": 1}, "[", "5", {"a": 2}])
def test_damaged(where: object) -> None:
    """A mark that does not fit its message is damage, and no crash."""
    with pytest.raises(DamagedSessionError):
        unpacked({"a": 1, CARRIED: where})
