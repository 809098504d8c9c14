import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache import ContractMessage, InvalidInputError, TooLargeError
from memory_cache._assemble import view
from memory_cache._transcript import Scribe
from memory_cache._view import iso_time
from unit.strategies import objects

NOW = 1_700_000_000_000_000


def scribe(*, max_message_bytes: int = 1000, max_future_seconds: int = 300) -> Scribe:
    """A scribe at a fixed time, which counts characters as tokens."""
    return Scribe(
        len,
        lambda: NOW,
        lambda time: f"id-{time}",
        max_message_bytes=max_message_bytes,
        max_depth=8,
        max_future_seconds=max_future_seconds,
    )


@given(st.lists(objects, max_size=5), st.integers(0, 2 * NOW))
def test_messages_are_kept_as_sent(messages: list[dict[str, Any]], newest: int) -> None:
    """A message is stored byte for byte; our times rise and are never before the newest."""
    stored = list(scribe(max_message_bytes=10**6).write(messages, newest))
    assert [body for body, _ in stored] == [orjson.dumps(message) for message in messages]
    times = [meta.created_at for _, meta in stored]
    assert times == [max(NOW, newest) + at for at in range(len(messages))]
    for one in stored:
        seen = orjson.loads(view(one))
        assert one.meta.tokens == len(f"{seen['role']}: {seen['content']}")
        assert one.meta.own_view == (view(one) == one.body)


def test_own_id_and_time_are_honoured() -> None:
    """What a message brings along is used; only what it lacks is made, beside it."""
    text = iso_time(NOW - 5)
    full, bare = list(scribe().write([{"id": "x", "created_at": text}, {"role": "user"}], 0))
    assert (full.meta.created_at, full.meta.id) == (NOW - 5, "")
    assert bare.meta.id == f"id-{bare.meta.created_at}"
    assert orjson.loads(view(full))["id"] == "x"
    assert orjson.loads(view(full))["created_at"] == text


@pytest.mark.parametrize(
    ("max_future_seconds", "text", "honoured"),
    [
        (300, "2023-11-14T22:18:20Z", True),
        (300, "2023-11-14T22:18:20.000001Z", False),
        (0, "2023-11-14T22:13:20Z", True),
        (10**12, "9999-12-31T23:59:59.999999Z", True),
        (10**12, "9999-12-31T23:59:59-02:00", False),
    ],
)
def test_a_time_ahead_of_ours(max_future_seconds: int, text: str, *, honoured: bool) -> None:
    """A time counts as far ahead of ours as is allowed, and within UTC's calendar."""
    sent = {"created_at": text}
    [stored] = scribe(max_future_seconds=max_future_seconds).write([sent], 0)
    assert orjson.loads(view(stored))["created_at"] == (text if honoured else iso_time(NOW))
    assert stored.body == orjson.dumps(sent)


def test_six_fields_are_their_own_view() -> None:
    """A message in the contract's form, sent through the library, needs no second copy."""
    [first] = list(scribe().write_contract([ContractMessage("user", "hi")], 0))
    [again] = list(scribe().write([orjson.loads(first.body)], 0))
    assert again == first
    assert again.meta.own_view


@given(st.integers(0, 2 * NOW), st.integers(1, 4))
def test_contract_messages_are_completed(newest: int, count: int) -> None:
    """A contract message without id and time is given both, in order."""
    stored = list(scribe().write_contract([ContractMessage("user", "hi")] * count, newest))
    for at, (body, meta) in enumerate(stored):
        time = max(NOW, newest) + at
        held = orjson.loads(body)
        assert meta == (True, len("user: hi"), time, "")
        assert (held["id"], held["created_at"]) == (f"id-{time}", iso_time(time))


def test_mappings_are_objects() -> None:
    """Any mapping may be a message, not dictionaries alone."""
    message: Mapping[str, object] = MappingProxyType({"a": 1})
    [stored] = list(scribe().write([message], 0))
    assert stored.body == b'{"a":1}'
    assert orjson.loads(view(stored))["content"] == '{"a":1}'


@pytest.mark.parametrize("bad", [1, "text", None, ["a"], {"a": float("nan")}, {"a": {1, 2}}])
def test_a_bad_message_is_named(bad: Any) -> None:  # noqa: ANN401  # it is of the wrong type
    """The error names the message by its position."""
    with pytest.raises(InvalidInputError, match=re.escape("messages[1]")):
        list(scribe().write([{}, bad], 0))


def test_limit_of_a_message() -> None:
    """A message of the limit is taken, one byte more is refused, by its position."""
    exact = {"a": "x" * 92}
    [kept] = scribe(max_message_bytes=100).write([exact], 0)
    assert len(kept.body) == 100
    with pytest.raises(TooLargeError, match=re.escape("messages[1]")):
        list(scribe(max_message_bytes=100).write([exact, {"a": "x" * 93}], 0))
    with pytest.raises(TooLargeError, match=re.escape("messages[7]")):
        list(
            scribe(max_message_bytes=100).write_contract([ContractMessage("u", "x" * 100)], 0, at=7)
        )
