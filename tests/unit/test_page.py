import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_cache import Page, SessionKey, Tier
from memory_cache._page import fitting
from memory_cache._types import Meta, StoredMessage
from unit.strategies import header, stored

KEY = SessionKey("", "", "s")


def page(messages: list[StoredMessage], start: int = 0) -> Page:
    """A page of these messages."""
    bodies = tuple(message.body for message in messages)
    metas = tuple(message.meta for message in messages)
    end = start + len(messages)
    return Page(KEY, start, end, bodies, bodies, metas, header(next_=end), b'{"a":1}', Tier.STORE)


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(-1, 40))
def test_fit_is_the_longest_suffix(tokens: list[int], limit: int) -> None:
    """A window is the longest suffix within the limit, and never empty of what there is."""
    messages = [
        StoredMessage(b'{"n":%d}' % at, Meta(own_view=True, tokens=count, created_at=0, id=""))
        for at, count in enumerate(tokens)
    ]
    whole = page(messages, start=5)
    fit = whole.fit(limit)
    fits = [n for n in range(len(tokens) + 1) if sum(tokens[len(tokens) - n :]) <= limit]
    want = max(fits or [0], default=0)
    want = max(want, 1) if tokens else 0
    assert fit.end - fit.start == want == len(fit.messages)
    assert fit.end == whole.end
    assert fit.messages == whole.messages[len(tokens) - want :]
    assert fit.token_counts == tuple(tokens[len(tokens) - want :])
    assert fitting(whole.metas or (), limit) == want


@given(st.lists(stored, max_size=6), st.data())
def test_chunks_are_one_array(messages: list[StoredMessage], data: st.DataObject) -> None:
    """Messages joined in chunks are the same JSON array as one by one."""
    whole = page(messages)
    chunks: list[bytes] = []
    rest = list(whole.bodies)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        chunks.append(b"\n".join(rest[:size]))
        rest = rest[size:]
    joined = Page(KEY, 0, len(messages), chunks, chunks, None, whole.header, b"{}", whole.tier)
    assert joined.json == whole.json == joined.view_json
    assert joined.messages == [orjson.loads(body) for body in whole.bodies]


def test_whole_transcript_has_no_counts() -> None:
    """The page of a whole transcript says that it cannot be cut by tokens."""
    joined = Page(KEY, 0, 1, (b"{}",), (b"{}",), None, header(next_=1), b"{}", Tier.STORE)
    assert joined.token_counts is None
    with pytest.raises(ValueError, match="count"):
        joined.fit(1)


def test_missing_page() -> None:
    """The page of a session that does not exist is empty in every way."""
    missing = Page.missing(KEY)
    assert not missing.exists
    assert missing.version is None
    assert missing.messages == []
    assert missing.fields == {}
    assert missing.json == missing.view_json == b"[]"
    assert (missing.start, missing.end, missing.first, missing.next) == (0, 0, 0, 0)
    assert (missing.token_count, missing.ttl_seconds, missing.token_counts) == (0, None, ())
    assert (missing.created_at, missing.updated_at) == (0, 0)
    assert missing.fit(10) == missing


def test_ttl_seconds() -> None:
    """A time to live is told in seconds, none as None."""
    ticking = Page(KEY, 0, 0, (), (), (), header()._replace(ttl_ms=5000), b"{}", Tier.NEAR)
    assert ticking.ttl_seconds == 5
    assert page([]).ttl_seconds is None
