import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache import DamagedSessionError
from memory_cache._blocks import Block, block_of, block_start, cut, digest, layout, runs
from memory_cache._types import BLOCK, StoredMessage
from unit.strategies import message, stored


def read_back(record: dict[str, bytes], first: int, next_: int) -> list[StoredMessage]:
    """Read a record in the simplest way there is; fails if a field is missing or left over."""
    left = dict(record)
    messages: list[StoredMessage] = []
    newest: int | None = None
    for number in range(block_of(first), block_of(max(next_ - 1, first)) + 1):
        begin, end = max(first, number * BLOCK), min(next_, (number + 1) * BLOCK)
        if begin >= end:
            continue
        if end == (number + 1) * BLOCK:
            bodies = left.pop(f"b{number}")
        else:
            bodies = b"\n".join(left.pop(f"m{seq}") for seq in range(begin, end))
        block = Block(begin, bodies, left.pop(f"t{number}"))
        some = block.messages()
        assert len(some) == end - begin
        own = all(each.meta.own_view for each in some)
        sealed = end == (number + 1) * BLOCK
        assert left.pop(f"d{number}", None) == (digest(bodies) if own and sealed else None)
        assert newest is None or block.max_before == newest
        newest = max(block.max_before, *(each.meta.created_at for each in some))
        messages += some
    assert not left
    return messages


@given(
    first=st.integers(0, 200),
    counts=st.lists(st.integers(0, 150), min_size=1, max_size=4),
    data=st.data(),
)
def test_cut_then_layout(first: int, counts: list[int], data: st.DataObject) -> None:
    """Cutting at any block and writing on leaves exactly the messages that were meant."""
    pool = data.draw(st.lists(stored, min_size=1, max_size=5))
    held = [pool[i % len(pool)] for i in range(counts[0])]
    record = dict(layout(first, held, 0)[0])
    assert read_back(record, first, first + len(held)) == held
    for count in counts[1:]:
        at = data.draw(st.integers(0, len(held)))
        seq = block_start(block_of(first + at), first)
        kept = held[: seq - first]
        new = [message(i) for i in range(count)]
        for field in cut(seq, first, first + len(held)):
            record.pop(field, None)
        before = max((each.meta.created_at for each in kept), default=0)
        pairs, newest = layout(seq, new, before)
        record.update(pairs)
        held = kept + new
        assert read_back(record, first, first + len(held)) == held
        assert newest == max((each.meta.created_at for each in held), default=0)


@given(st.integers(0, 300), st.integers(0, 300))
def test_runs_cover_all_once(start: int, count: int) -> None:
    """Runs are consecutive, cover everything, and none crosses a block's bound."""
    at = 0
    for block, begin, end in runs(start, [message(i) for i in range(count)]):
        assert begin == at < end
        assert block_of(start + begin) == block == block_of(start + end - 1)
        at = end
    assert at == count


@pytest.mark.parametrize(
    ("bodies", "sidecar"),
    [
        (b"{}\n{}", b"0\n1 1"),
        (b"{}", b"0\n1 1\n1 1"),
        (b"{}", b"0"),
        (b"{}", b"0\ngarbage"),
        (b"{}", b"0\n\xff"),
    ],
)
def test_block_and_sidecar_disagree(bodies: bytes, sidecar: bytes) -> None:
    """A block whose sidecar does not fit it is damaged, not shorter."""
    with pytest.raises(DamagedSessionError):
        Block(0, bodies, sidecar).messages()


@pytest.mark.parametrize("sidecar", [b"", b"x\n1 1", b"\xff\n1 1"])
def test_block_without_newest_time(sidecar: bytes) -> None:
    """A sidecar that does not begin with a time is damage, too."""
    with pytest.raises(DamagedSessionError):
        _ = Block(0, b"{}", sidecar).max_before
