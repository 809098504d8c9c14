from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache import ContractMessage
from memory_cache._view import (
    as_contract,
    contract_view,
    equals_view,
    given_time,
    iso_time,
    micros,
    ulid,
    view_of,
)
from unit.strategies import objects, texts

moments = st.integers(0, 4_000_000_000_000_000)
parts = texts | st.dictionaries(st.sampled_from(["text", "type"]), texts) | st.integers(0, 9)
contents = texts | st.lists(parts, max_size=3) | st.none() | objects
messages = st.builds(
    lambda base, extra: base | extra,
    objects,
    st.fixed_dictionaries(
        {},
        optional={
            "role": texts | st.none(),
            "content": contents,
            "id": texts | st.integers(0, 9),
            "discrete_memory_extracted": st.sampled_from(["t", "f", "x", 1]),
        },
    ),
)
contract = st.builds(
    ContractMessage,
    role=texts,
    content=texts,
    id=texts,
    created_at=moments.map(iso_time),
    persisted_at=st.none() | moments.map(iso_time),
    extracted=st.sampled_from("tf"),
)


@given(messages, moments)
def test_view_is_what_the_contract_knows(message: dict[str, object], created_at: int) -> None:
    """The view of any message has the six fields, text as content, and an id."""
    view = orjson.loads(view_of(orjson.dumps(message), "made", created_at))
    assert list(view) == [
        "role",
        "content",
        "id",
        "created_at",
        "persisted_at",
        "discrete_memory_extracted",
    ]
    assert isinstance(view["role"], str)
    assert isinstance(view["content"], str)
    assert view["content"].strip()
    assert view["id"]
    assert view["created_at"] == iso_time(created_at)
    assert view["discrete_memory_extracted"] in {"t", "f"}


@given(messages, moments)
def test_view_brought_back_is_equal(message: dict[str, object], created_at: int) -> None:
    """A client that sends back just what it read, ids and times or not, has changed nothing."""
    read = as_contract(message, "made", created_at)
    view = view_of(orjson.dumps(message), "made", created_at)
    assert contract_view(read) == view
    for sent in (read, read._replace(id=None), read._replace(id=None, created_at=None)):
        assert equals_view(view, sent)


@given(contract, contract)
def test_equal_means_all_that_was_given(held: ContractMessage, sent: ContractMessage) -> None:
    """A message equals a view only if each of its fields that was given is the same."""
    assert equals_view(contract_view(held), sent) == (held == sent)
    mixed = sent._replace(id=None, created_at=None)
    same = held._replace(id=None, created_at=None) == mixed
    assert equals_view(contract_view(held), mixed) == same


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hello", "hello"),
        (["a", {"text": "b"}, {"type": "image"}, 7], "a\nb"),
        ("", '{"content":""}'),
        (" \n", '{"content":" \\n"}'),
        ([], '{"content":[]}'),
        ({"text": "a"}, '{"content":{"text":"a"}}'),
        (None, '{"content":null}'),
    ],
)
def test_content_of_a_view(content: object, text: str) -> None:
    """The content is the text of the parts; without any, the message itself."""
    assert as_contract({"content": content}, "made", 0).content == text


@given(moments)
def test_times_round_trip(moment: int) -> None:
    """A time is read back from its text to the microsecond, also when the zone is left out."""
    text = iso_time(moment)
    assert text.endswith("Z")
    assert micros(text) == micros(text.removesuffix("Z")) == moment


def test_times_of_other_zones() -> None:
    """A zone is honoured, and times before 1970 are negative."""
    assert micros("1970-01-01T02:00:00.5+02:00") == 500_000
    assert micros("1969-12-31T23:59:59Z") == -1_000_000


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2024-13-01T00:00:00Z", "12:00", "20231114T221320Z", "1700000000"]
)
def test_texts_that_are_no_times(text: str) -> None:
    """What is no ISO 8601 time is a ValueError: it would be answered as it is."""
    with pytest.raises(ValueError, match="ISO 8601"):
        micros(text)


def test_given_time_has_bounds() -> None:
    """A created_at that a message brings counts if it is a time from 1970 to the latest."""
    latest = micros("2026-01-01T00:00:00Z")
    assert given_time({"created_at": iso_time(latest)}, latest) == latest
    assert given_time({"created_at": iso_time(latest + 1)}, latest) is None
    assert given_time({"created_at": "1969-12-31T23:59:59Z"}, latest) is None
    assert given_time({"created_at": 5}, latest) == 5_000_000
    assert given_time({"created_at": "yesterday"}, latest) is None
    assert given_time({}, latest) is None


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**80 - 1))
def test_ulid(milliseconds: int, randomness: int) -> None:
    """An id has 26 characters that sort like its time, and tells both its numbers."""
    text = ulid(milliseconds, randomness)
    assert len(text) == 26
    number = 0
    for char in text:
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(char)
    assert number == milliseconds << 80 | randomness
    if milliseconds:
        assert ulid(milliseconds - 1, 2**80 - 1) < text


def test_known_time() -> None:
    """A known moment has the text that Python's own library gives it."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert iso_time(since // timedelta(microseconds=1)) == "2026-01-02T03:04:05.000006Z"
