from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.helpers import heat, said, several
from memory_cache import (
    CacheConfig,
    InvalidInputError,
    Session,
    TooLargeError,
    open_cache,
)
from support.valkey import ValkeyServer

ODD: list[dict[str, Any]] = [
    {},
    {"a": None},
    {"content": [{"type": "text", "text": "hi"}, {"type": "image", "url": "x"}]},
    {"role": 7, "content": {"nested": {"deep": [[], {}]}}},
    {"role": "user", "content": 'é 漢 \U0001f600 \u2028 \u2029 \x00 \x1f \x7f \\ " / \t\r\n'},
    {"": "", " ": " ", "\n": "\n", "__proto__": 1},
    {"id": 5, "created_at": "not a time", "role": None},
    {"id": "own", "created_at": "2026-01-01T00:00:00+02:00"},
    {"n": [0, -1, 2**63, -(2**63), 1.5, 1e300, 5e-324, 0.1, True, False]},
    {"role": "user", "content": ""},
    {"discrete_memory_extracted": "t", "z": 1, "a": 2},
    {"m": "\nv1 1\nv1 1", "b": "b0", "s": "\ns"},
]

texts = st.text(max_size=10)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | texts
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts | st.sampled_from(["role", "content", "id"]), values, max_size=4)


async def test_odd_messages_come_back_unchanged(chat: Session) -> None:
    """Any JSON object comes back byte for byte in canonical form, sealed or not, hot or cold."""
    want = ODD * 12
    await chat.append(want[:30])
    await heat(chat)
    await chat.append(want[30:])
    raw = b"[" + b",".join(map(orjson.dumps, want)) + b"]"
    assert (await chat.transcript()).json == raw
    assert (await chat.recent(len(want))).json == raw
    peeked = chat.peek(len(ODD))
    assert peeked is not None
    assert peeked.json == b"[" + b",".join(map(orjson.dumps, ODD)) + b"]"
    assert [message async for message in chat] == want
    assert await chat.pop() == want[-1]


async def test_views_agree_everywhere(chat: Session) -> None:
    """The contract's view of a message is the same wherever it is read from."""
    await chat.append(ODD * 12)
    cold = (await chat.transcript()).view_json
    await heat(chat)
    hot = (await chat.recent(5)).view_json
    assert orjson.loads(cold)[-5:] == orjson.loads(hot)
    for view in orjson.loads(cold):
        assert view["content"]
        assert view["id"]
        assert view["created_at"]


@settings(max_examples=25)
@given(st.lists(st.lists(objects, max_size=40), max_size=4))
async def test_any_messages_in_any_pieces(
    valkey: ValkeyServer, pieces: list[list[dict[str, object]]]
) -> None:
    """Whatever is appended, in whatever pieces, is read back as it was."""
    async with open_cache(valkey.url) as cache:
        session = cache.session("pieces")
        await session.delete()
        want = []
        for piece in pieces:
            await session.append(piece)
            want += piece
        raw = b"[" + b",".join(map(orjson.dumps, want)) + b"]"
        assert (await session.transcript()).json == raw
        assert (await session.recent(10**6)).json == raw


@pytest.mark.parametrize(
    "bad",
    [
        1,
        "text",
        None,
        [],
        {"a": float("nan")},
        {"a": 2**64},
        {1: 2},
        {"a": "\ud800"},
        {"a": object},
    ],
    ids=repr,
)
async def test_refused_messages_change_nothing(chat: Session, bad: object) -> None:
    """A message that JSON cannot hold unchanged is refused by its position, with all its list."""
    with pytest.raises(InvalidInputError) as caught:
        await chat.append([said(0), bad])  # type: ignore[list-item]  # that is the point
    assert caught.value.field == "messages[1]"
    assert caught.value.applied == "no"
    assert not (await chat.recent(1)).exists


async def test_depth_of_a_message(chat: Session) -> None:
    """Messages and fields nest up to the limit."""
    deep: dict[str, object] = {}
    for _ in range(63):
        deep = {"a": deep}
    await chat.append(deep)
    await chat.set_fields({"a": deep["a"]})
    assert await chat.pop() == deep
    with pytest.raises(InvalidInputError):
        await chat.append({"a": deep})
    with pytest.raises(InvalidInputError):
        await chat.set_fields({"a": deep})


async def test_limits(valkey_url: str) -> None:
    """A message, the session and its fields may have so many bytes, and nothing is half done."""
    config = CacheConfig(max_message_bytes=100, max_session_bytes=1000, max_fields_bytes=50)
    async with open_cache(valkey_url, config=config) as cache:
        chat = cache.session("chat")
        full = {"a": "x" * 92}
        for _ in range(2):
            await chat.append([full] * 4)
        for too_much in ([{"a": "x" * 93}], [full] * 3, [full, {"a": "x" * 93}]):
            with pytest.raises(TooLargeError):
                await chat.append(too_much)
        await chat.append([full] * 2)
        with pytest.raises(TooLargeError):
            await chat.append({})
        with pytest.raises(TooLargeError):
            await chat.replace([full] * 11)
        with pytest.raises(TooLargeError):
            await chat.set_fields({"a": "x" * 50})
        await chat.set_fields({"a": "x" * 42})
        with pytest.raises(TooLargeError):
            await chat.set_fields({"b": 1})
        page = await chat.transcript()
        assert page.messages == [full] * 10
        assert page.fields == {"a": "x" * 42}
        await chat.replace(several(0, 2))
        await chat.append(said(2))
        assert (await chat.transcript()).messages == several(0, 3)


async def test_large_transcripts(chat: Session) -> None:
    """Transcripts of many megabytes are replaced and appended whole, and read back whole."""
    want = [said(at, pad="x" * 20_000) for at in range(300)]
    await chat.set_fields({"a": 1})
    change = await chat.replace(want, ttl_seconds=1000)
    assert (change.first, change.next) == (0, 300)
    page = await chat.transcript()
    assert page.messages == want
    assert page.fields == {"a": 1}
    assert page.ttl_seconds == 1000
    await chat.append(want)
    assert (await chat.transcript()).messages == want * 2
    assert (await chat.recent(3)).messages == want[-3:]
    assert await chat.pop() == want[-1]


async def test_large_replace_leaves_nothing_aside(valkey: ValkeyServer, chat: Session) -> None:
    """What was written aside for a large replace is the session afterwards, with its own life."""
    want = [said(at, pad="x" * 20_000) for at in range(300)]
    first = await chat.replace(want, operation_id="op")
    again = await chat.replace(want, operation_id="op")
    assert again.replayed
    assert again.version == first.version
    with valkey.admin as client:
        names = [name.decode() for name in client.scan_iter("*chat*")]
        lives = {name: client.pttl(name) for name in names if name.endswith("}")}
    assert set(lives.values()) == {-1}
