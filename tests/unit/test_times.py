from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from memory_cache import read_time, time_text
from memory_cache._times import EPOCH, MICROSECOND, micros_of

CONTRACT = TypeAdapter(datetime)
"""How the server that this one replaces reads a time."""

numbers = st.one_of(
    st.integers(),
    st.integers(-3 * 10**10, 3 * 10**10),
    st.integers(-(10**15), 10**15),
    st.floats(),
    st.integers(0, 2 * 10**15).map(lambda micros: micros / 10**6),
    st.integers(0, 2 * 10**15).map(lambda micros: micros / 10**3),
)
texts = st.one_of(
    st.text("0123456789-+:TtZz ._,eW\u2212", max_size=30),
    st.from_regex(r"[+-]?\d{0,20}(\.\d{0,9})?([eE][+-]?\d)?", fullmatch=True),
    st.from_regex(
        r"\d{4}-[01]\d-[0-3]\d"
        r"([Tt _X][0-2]\d:[0-6]\d(:[0-6]\d([.,]\d{1,12})?)?([Zz]|[+\-\u2212][0-2]\d:?[0-7]\d)?)?",
        fullmatch=True,
    ),
)


def by_contract(value: object) -> datetime | None:
    """Return a time as the contract reads it; without a zone it means UTC here."""
    try:
        moment = CONTRACT.validate_python(value)
    except ValidationError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@settings(max_examples=300)
@given(numbers)
@example(20_000_000_000)
@example(20_000_000_001)
@example(-20_000_000_001)
@example(253_402_300_799_999)
@example(253_402_300_800_000)
@example(-62_135_596_800_001)
def test_numbers_are_read_as_the_contract_does(number: float) -> None:
    """Seconds, milliseconds and no times at all: the same, but for half a microsecond."""
    here, there = read_time(number), by_contract(number)
    assert (here is None) == (there is None)
    if here and there:
        assert abs(here - there) <= MICROSECOND
        assert type(number) is float or here == there


@settings(max_examples=300)
@given(texts)
def test_texts_are_read_as_the_contract_does(text: str) -> None:
    """A text is the time, in the zone, that it is for the contract, or none for both."""
    here, there = read_time(text), by_contract(text)
    assert here == there
    assert here is None or there is None or here.utcoffset() == there.utcoffset()


@pytest.mark.parametrize("value", [None, True, False, [], {}, [1700000000], float("nan")])
def test_other_values_are_no_times(value: object) -> None:
    """Null, truth and collections are no times, for both."""
    assert read_time(value) is by_contract(value) is None


@pytest.mark.parametrize(
    "value",
    [1700000000, 1700000000000, 1700000000.0, "1700000000", "1700000000.0", "1700000000000",
     "2023-11-14T22:13:20", "2023-11-14 22:13:20Z", "2023-11-15T00:13:20+02:00"],
)  # fmt: skip
def test_one_time_in_many_forms(value: object) -> None:
    """A number and its text, in seconds and milliseconds, are the time that ISO 8601 says."""
    moment = read_time(value)
    assert moment == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert moment is not None
    assert micros_of(moment) == 1_700_000_000_000_000


@given(st.datetimes(), st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda at: timedelta(minutes=at)))
def test_texts_of_times(naive: datetime, offset: timedelta) -> None:
    """The text of a time is ISO 8601 with its zone, Z for UTC, and is read back as that time."""
    for zone in (UTC, timezone(offset)):
        moment = naive.replace(tzinfo=zone)
        text = time_text(moment)
        assert text == moment.isoformat().replace("+00:00", "Z")
        assert read_time(text) == moment
        assert micros_of(moment) * MICROSECOND == moment - EPOCH
