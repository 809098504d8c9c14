from hypothesis import given
from hypothesis import strategies as st

from memory_cache._order import latest
from unit.strategies import message

few_times = st.lists(st.integers(0, 6), max_size=12)


@given(few_times, st.integers(0, 14), st.integers(0, 12))
def test_latest_is_the_end_of_a_stable_sort(times: list[int], count: int, cut: int) -> None:
    """The answer is that of a stable sort of everything, or None: then more must be read."""
    messages = [message(at, created_at=time) for at, time in enumerate(times)]
    whole = sorted(range(len(times)), key=lambda at: times[at])
    want = whole[max(0, len(whole) - count) :]
    assert latest(messages, count, 0, complete=True) == want

    cut = min(cut, len(times))
    before = max(times[:cut], default=0)
    got = latest(messages[cut:], count, before, complete=cut == 0)
    if got is not None:
        assert [at + cut for at in got] == want


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12).map(sorted), st.integers(0, 12))
def test_in_order_no_more_is_read_than_asked(times: list[int], count: int) -> None:
    """Where created_at never goes back, the last messages tell by themselves."""
    count = min(count, len(times))
    messages = [message(at, created_at=time) for at, time in enumerate(times)]
    before = max(times[: len(times) - count], default=0)
    tail = messages[len(times) - count :]
    assert latest(tail, count, before, complete=False) == list(range(count))
