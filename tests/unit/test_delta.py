import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache._delta import Delta, decode, encode
from unit.strategies import append, deltas


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


@given(deltas)
def test_only_appends_carry(delta: Delta) -> None:
    """Only an append brings its messages; all else only says that it happened."""
    assert delta.carries == (delta.kind == "A")
