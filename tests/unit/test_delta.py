from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache._assemble import view
from memory_cache._delta import Delta, decode, encode
from memory_cache._types import Meta, StoredMessage
from unit.strategies import append, deltas, message


@given(deltas)
def test_delta_round_trip(delta: Delta) -> None:
    """A change is read back from the bus as it was published."""
    assert decode(encode(delta)) == delta


@given(st.binary(max_size=60) | deltas.map(encode), st.data())
def test_garbage_is_a_value_error(payload: bytes, data: st.DataObject) -> None:
    """A payload that was cut, or is not ours, is a ValueError or a change, and nothing else."""
    at = data.draw(st.integers(0, len(payload)))
    for text in (payload, payload[:at], payload[:at] + b"\n" + payload[at:]):
        try:
            decode(text)
        except ValueError:
            continue


@pytest.mark.parametrize("year", [1, 1500, 9999])
def test_any_year(year: int) -> None:
    """A message of any year that its own time says can be applied."""
    time = (year - 1970) * 365 * 86_400 * 1_000_000
    delta = append(2, message(1, created_at=time))
    assert decode(encode(delta)) == delta


@pytest.mark.parametrize(
    "change",
    [
        (b"A ", b"X "),
        (b"A ", b"C "),
        (b" 1 0\n", b" 2 0\n"),
        (b" 1 0\n", b" 1 1\n"),
        (b" -1 ", b" "),
    ],
)
def test_torn_payload(change: tuple[bytes, bytes]) -> None:
    """A payload whose parts contradict one another is refused."""
    payload = encode(append(2)).replace(*change, 1)
    with pytest.raises(ValueError):  # noqa: PT011  # its message is of no use
        decode(payload)


@pytest.mark.parametrize(
    ("what", "by"),
    [
        (b"{", b"["),
        (b"{", b""),
        (b'"n"', b'"\xff"'),
        (b'{"n":1}', b""),
        (b'{"n":1}', b"1"),
        (b'{"n":1}', b"[" * 100_000),
        (b"v1 0", b"v1"),
        (b"v1 0", b"v-1 0"),
        (b"v1 0", b"u1 9" + b"9" * 30),
        (b"v1 0", b"s1 " + b"9" * 30),
        (b"v1 0", b"s1 253402300800000001"),
        (b"v1 0", b"w1 0"),
        (b"v1 0", b"\xff\xfe"),
        (b"A t1 -1 ", b"A t1 -2 "),
        (b"A t1 -1 ", b"A t1 1" + b"0" * 400 + b" "),
        (b" 1 0\n", b" -1 0\n"),
        (b" 1 0\n", b" 1 2\n"),
        (b" e:1\n", b" e\n"),
    ],
)
def test_damaged_content(what: bytes, by: bytes) -> None:
    """A change is read to its end: no part of what is taken can fail when it is applied."""
    payload = encode(append(2))
    damaged = payload.replace(what, by, 1)
    assert damaged != payload
    with pytest.raises(ValueError):  # noqa: PT011  # its message is of no use
        decode(damaged)


@pytest.mark.parametrize("fields", [b"", b"{", b"[]", b"1", b"\xff"])
def test_fields_that_are_none(fields: bytes) -> None:
    """Fields must be a JSON object."""
    with pytest.raises(ValueError):  # noqa: PT011  # as above
        decode(encode(replace(append(2), fields=fields)))


def test_views_are_made() -> None:
    """What is decoded has the contract's view of each message; one nested too deep has none."""
    bare = StoredMessage(b'{"role":"user","content":"hi"}', Meta(False, 1, 0, "made"))
    heard = decode(encode(append(2, message(1), bare)))
    assert heard.views == (message(1).body, view(bare))
    deep = b'{"a":' + b"[" * 400 + b"]" * 400 + b"}"
    with pytest.raises(ValueError):  # noqa: PT011  # as above
        decode(encode(append(2, bare._replace(body=deep))))


@given(deltas)
def test_only_appends_carry(delta: Delta) -> None:
    """Only an append brings its messages; all else only says that it happened."""
    assert delta.carries == (delta.kind == "A")
