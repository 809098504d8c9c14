from hypothesis import given
from hypothesis import strategies as st

from memory_cache._ring import MESSAGE_COST, VIEW_COST, Ring
from memory_cache._types import Meta, StoredMessage

pushes = st.lists(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9), st.booleans()), max_size=6),
    max_size=14,
)


@given(
    pushes=pushes,
    start=st.integers(0, 200),
    before=st.integers(0, 9),
    capacity=st.integers(1, 30),
    max_bytes=st.integers(1, 6000),
)
def test_ring_is_the_end_of_a_list(
    pushes: list[list[tuple[int, int, bool]]],
    start: int,
    before: int,
    capacity: int,
    max_bytes: int,
) -> None:
    """After any pushes a ring holds the end of all that was pushed, and knows it by heart."""
    ring = Ring(start, before, capacity=capacity, max_bytes=max_bytes)
    pushed: list[tuple[StoredMessage, bytes]] = []
    for batch in pushes:
        new = [_message(len(pushed) + at, *drawn) for at, drawn in enumerate(batch)]
        ring.push([message for message, _ in new], [view for _, view in new])
        pushed += new
        ring.check()
        held = pushed[ring.start - start :]
        assert ring.end == start + len(pushed)
        for count in range(len(held) + 2):
            slots = ring.last(count)
            want = held[max(0, len(held) - count) :]
            assert [(slot.body, slot.view, slot.meta) for slot in slots] == [
                (message.body, view, message.meta) for message, view in want
            ]
        assert ring.cost == sum(_cost(*pair) for pair in held)
        assert len(held) <= capacity
        assert ring.cost <= max_bytes or len(held) == 1
        dropped = pushed[: ring.start - start]
        assert ring.max_before == max([before, *(m.meta.created_at for m, _ in dropped)])
        times = [before, *(m.meta.created_at for m, _ in pushed)]
        for seq in range(ring.start, ring.end + 1):
            at = seq - start
            after = range(at, len(pushed))
            assert ring.ordered(seq) == all(times[i + 1] >= max(times[: i + 1]) for i in after)


@given(st.integers(2, 8), st.integers(1, 8))
def test_ring_drops_no_more_than_it_must(capacity: int, room: int) -> None:
    """A ring holds as many messages as its slots and its bytes allow."""
    cost = MESSAGE_COST + 10
    ring = Ring(0, 0, capacity=capacity, max_bytes=room * cost)
    for at in range(20):
        body = b"%010d" % at
        meta = Meta(own_view=True, tokens=1, created_at=0, id="")
        ring.push([StoredMessage(body, meta)], [body])
    assert ring.end - ring.start == min(capacity, room)


def _message(at: int, size: int, created_at: int, own_view: bool) -> tuple[StoredMessage, bytes]:
    body = b"%d:" % at + b"x" * size
    meta = Meta(own_view, 1, created_at, "")
    return StoredMessage(body, meta), body if own_view else b"view of %d" % at


def _cost(message: StoredMessage, view: bytes) -> int:
    own = view is message.body
    return MESSAGE_COST + len(message.body) + (0 if own else VIEW_COST + len(view))
