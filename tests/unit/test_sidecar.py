import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache._sidecar import line, max_before, meta_of, metas_of, sidecar
from memory_cache._types import Meta
from memory_cache._view import ulid
from unit.strategies import counts, metas, times

far = st.integers(-62_135_683_200_000_000, 253_402_387_199_999_999)
"""Microseconds from the year 1 to 9999, in any zone."""


def at(meta: Meta, created_at: int) -> Meta:
    """The same, of another time."""
    return meta._replace(created_at=created_at)


@given(metas, far)
def test_line_round_trip(meta: Meta, created_at: int) -> None:
    """What is known of one message is read back from its line."""
    for one in (meta, at(meta, created_at)):
        assert meta_of(line(one).encode()) == one


@given(st.lists(metas, max_size=5), st.lists(far, max_size=5), times, st.none() | counts)
def test_sidecar_round_trip(
    known: list[Meta], moments: list[int], before: int, size: int | None
) -> None:
    """What is known of a block's messages is read back, whatever the order of their times."""
    some = [*known, *(at(meta, moment) for meta, moment in zip(known, moments, strict=False))]
    text = sidecar(some, before, size)
    assert max_before(text) == before
    assert metas_of(text) == some


def test_made_ids_are_kept_without_their_time() -> None:
    """A ULID of the message's time is told from an id that only looks like one."""
    time = 1_795_830_904_616_817
    made = Meta(own_view=False, tokens=1, created_at=time, id=ulid(time // 1000, 7))
    later = at(made, time + 1000)
    assert len(line(later)) - len(line(made)) == len(ulid(0, 0)[:10])
    assert metas_of(sidecar([made, later], 0, None)) == [made, later]


@pytest.mark.parametrize(
    "text",
    [b"", b"v", b"v1", b"v1 2 3", b"u1", b"s", b"s1", b"x1 2", b"vx 2", b"1 2", b"\xff"],
)
def test_garbage_line(text: bytes) -> None:
    """What is no line is a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  # its message is of no use
        meta_of(text)


@pytest.mark.parametrize(
    "text", [b"1", b"1 2 3", b"s", b"s1", b"g 1", b"1 =", b"1 =a", b"v1 1", b""]
)
def test_garbage_in_a_sidecar(text: bytes) -> None:
    """What is no line of a sidecar is a ValueError, too."""
    with pytest.raises(ValueError):  # noqa: PT011  # as above
        metas_of(b"0\n" + text)
