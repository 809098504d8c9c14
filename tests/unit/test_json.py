import json
import math
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memory_cache import InvalidInputError, InvalidJsonError, parse_json
from memory_cache._json import canonical
from unit.strategies import objects, values

spaces = st.sampled_from(["", " ", "\n", "\t \r"])
numbers = st.from_regex(
    r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,25})?([eE][-+]?[0-9]{1,4})?", fullmatch=True
)
strings = st.one_of(
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text(max_size=8).map(json.dumps),
    st.sampled_from(['"\\ud800"', '"\\udc00\\ud800"', '"\\/"', '"\\u0041"', '"\u2028"', '"\\x"']),
)
documents = st.recursive(
    numbers | strings | st.sampled_from(["true", "false", "null", "NaN", "Infinity", "-", "01"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
        st.lists(st.tuples(strings, spaces, inner), max_size=3).map(
            lambda parts: (
                "{" + ",".join(f"{key}{space}:{value}" for key, space, value in parts) + "}"
            )
        ),
    ),
    max_leaves=6,
)


def exact(raw: bytes) -> object:
    """The value of a text with every number exact and every pair of an object in order."""
    return json.loads(
        raw,
        parse_float=Decimal,
        object_pairs_hook=lambda pairs: ("object", pairs),
        parse_constant=_refuse,
    )


def keeps(value: object) -> bool:
    """Whether the rules let this exact value in."""
    if isinstance(value, Decimal):
        return math.isfinite(float(value)) and Decimal(repr(float(value))) == value
    if isinstance(value, str):
        return not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, tuple):
        keys = [key for key, _ in value[1]]
        return len(keys) == len(set(keys)) and all(keeps(k) and keeps(v) for k, v in value[1])
    if isinstance(value, list):
        return all(map(keeps, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**64


@given(documents, spaces)
@example('{"a":1,"\\u0061":2}', "")
@example("18446744073709551616", "")
@example("-9223372036854775809", "")
@example("0.1000000000000000055511151231257827", "")
@example("1e400", "")
@example("1e-400", "")
@example("-0", " ")
def test_accepted_means_unchanged(document: str, space: str) -> None:
    """A text is accepted if and only if it comes out again with an exactly equal value."""
    raw = (space + document + space).encode("utf-8", "surrogatepass")
    try:
        wanted = keeps(exact(raw))
    except ValueError:
        wanted = False
    try:
        value = parse_json(raw)
    except InvalidJsonError:
        assert not wanted
        return
    assert wanted
    assert exact(orjson.dumps(value)) == exact(raw)
    assert canonical(value, "body", max_depth=64) == orjson.dumps(value)


@given(objects)
def test_ordinary_documents_are_accepted(value: dict[str, Any]) -> None:
    """Whatever JSON and a double can hold is accepted, however it is spaced and escaped."""
    for raw in (orjson.dumps(value), json.dumps(value, indent=1).encode()):
        assert parse_json(raw) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xef\xbb\xbf1",
        b"1 2",
        b"[1],",
        b"nul",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"01",
        b"'a'",
        b'"\xff"',
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b'"\n"',
        b"[1,]",
        b'{"a":1,"b":{"c":1,"c":1}}',
        b"1\x00",
        '"é"'.encode("utf-16"),
        b"18446744073709551616",
        b"[1.00000000000000000001]",
        b"0e99999999999999999999",
        b"1e-99999999999999999999",
        b"[" * 100_000,
    ],
)
def test_refused(raw: bytes) -> None:
    """What is no JSON in UTF-8, or JSON that would change, is an error of ours."""
    with pytest.raises(InvalidJsonError):
        parse_json(raw)


def test_fault_is_named_by_its_place() -> None:
    """The error says where in the document the fault is."""
    with pytest.raises(InvalidJsonError) as caught:
        parse_json(b'{"a": [1, {"b": 18446744073709551616}]}')
    assert caught.value.field == "body.a[1].b"


@pytest.mark.parametrize("depth", [1, 2, 10, 64])
@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_counted_exactly(depth: int, pair: tuple[bytes, bytes]) -> None:
    """The limit itself is accepted and one more is refused, in text and in objects alike."""
    begin, end = pair
    inner = b"[]" if begin == b"[" else b"{}"
    fits = begin * (depth - 1) + inner + end * (depth - 1)
    value = parse_json(fits, max_depth=depth)
    assert canonical(value, "body", max_depth=depth) == fits
    deeper = begin + fits + end
    with pytest.raises(InvalidJsonError):
        parse_json(deeper, max_depth=depth)
    with pytest.raises(InvalidInputError):
        canonical(orjson.loads(deeper), "body", max_depth=depth)


def test_brackets_in_text_are_no_depth() -> None:
    """Brackets within strings, and many side by side, do not count as depth."""
    value: list[object] = ["[[[[{{{{"] + [[] for _ in range(9)]
    assert parse_json(orjson.dumps(value), max_depth=2) == value
    assert canonical(value, "body", max_depth=2) == orjson.dumps(value)


@given(values)
def test_canonical_is_one_line(value: object) -> None:
    """Canonical JSON holds no raw newline and parses to an equal value."""
    text = canonical(value, "body", max_depth=64)
    assert b"\n" not in text
    assert parse_json(text) == value


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [1, {"a": math.inf}],
        {"null": None, "a": (-math.inf,)},
        2**64,
        -(2**63) - 1,
        "\ud800",
        {"\ud800": 1},
        {1: 2},
        b"bytes",
        {1, 2},
        object,
        [[[[[]]]]],
    ],
    ids=repr,
)
def test_canonical_refuses_what_would_change(value: object) -> None:
    """A value that JSON cannot hold unchanged is refused, under the field's name."""
    with pytest.raises(InvalidInputError) as caught:
        canonical(value, "messages[3]", max_depth=4)
    assert caught.value.field == "messages[3]"


def test_canonical_refuses_a_loop() -> None:
    """A value that holds itself is refused, and nothing is exhausted."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InvalidInputError):
        canonical(loop, "messages", max_depth=64)


def _refuse(word: str) -> object:
    raise ValueError(word)
