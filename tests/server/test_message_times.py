"""The time of a message, by every way in: read alike, shown alike, refused alike."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from memory_cache import open_cache, read_time
from memory_cache_server.importing.document import understood
from memory_cache_server.importing.found import Document, Refused
from memory_cache_server.putting import Put
from memory_cache_server.settings import Settings
from support.in_process import MESSAGES, SESSION, contents, faults, message, serving
from support.put_bodies import full, put

TIMES = [
    (1700000000, "2023-11-14T22:13:20Z"),
    (1700000000000, "2023-11-14T22:13:20Z"),
    (1700000000.5, "2023-11-14T22:13:20.500000Z"),
    ("1700000000", "2023-11-14T22:13:20Z"),
    ("1700000000.5", "2023-11-14T22:13:20.500000Z"),
    ("2023-11-14", "2023-11-14T00:00:00Z"),
    ("2023-11-14T22:13", "2023-11-14T22:13:00Z"),
    ("2023-11-14T22:13:20", "2023-11-14T22:13:20Z"),
    ("2023-11-14 22:13:20Z", "2023-11-14T22:13:20Z"),
    ("2023-11-14t22:13:20.123456789z", "2023-11-14T22:13:20.123456Z"),
    ("2023-11-14T22:13:20.000000+00:00", "2023-11-14T22:13:20Z"),
    ("20231114", "1970-08-23T03:45:14Z"),
    (0, "1970-01-01T00:00:00Z"),
]
NO_TIMES: list[object] = [
    "20231114T221320Z",
    "2023-W46-2",
    "2023-02-30",
    "yesterday",
    "",
    None,
    True,
    [],
    10**18,
]
MOST_AHEAD = 100 * 365 * 24 * 3600
"""The most that the setting allows."""

OUT_OF_BOUNDS = [-1, "1969-12-31T23:59:59Z", 20_000_000_000, "9999-12-31T23:59:59-02:00"]

Way = Callable[[httpx.AsyncClient, dict[str, Any]], Awaitable[httpx.Response]]


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application over an empty store."""
    async with serving(valkey_url) as client:
        yield client


async def post(http: httpx.AsyncClient, last: dict[str, Any]) -> httpx.Response:
    """Append a message to another."""
    await http.post(MESSAGES, json={"messages": [full(0)]})
    return await http.post(MESSAGES, json={"messages": [last]})


async def post_both(http: httpx.AsyncClient, last: dict[str, Any]) -> httpx.Response:
    """Append a message behind another in the same body."""
    return await http.post(MESSAGES, json={"messages": [full(0), last]})


async def put_first(http: httpx.AsyncClient, last: dict[str, Any]) -> httpx.Response:
    """Put a session that does not exist."""
    return await http.put(SESSION, json={"messages": [full(0), last]})


async def put_grown(http: httpx.AsyncClient, last: dict[str, Any]) -> httpx.Response:
    """Put one message more, of which the bytes before are known."""
    for messages in ([full(0)], [full(0)], [full(0), last]):
        body = json.dumps({"messages": messages}, separators=(",", ":"), ensure_ascii=False)
        answer = await put(http, body.encode())
    return answer


async def put_other(http: httpx.AsyncClient, last: dict[str, Any]) -> httpx.Response:
    """Put another message in the place of one."""
    await http.put(SESSION, json={"messages": [full(0), full(1)]})
    return await http.put(SESSION, json={"messages": [full(0), last]})


WAYS: list[Way] = [post, post_both, put_first, put_grown, put_other]


async def shown(http: httpx.AsyncClient) -> str:
    """The time of the last message as clients of the contract see it."""
    created_at: str = (await http.get(SESSION)).json()["messages"][-1]["created_at"]
    return created_at


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("given", "text"), TIMES)
async def test_a_time_is_shown_as_it_was_sent(
    http: httpx.AsyncClient, puts: list[Put | None], way: Way, given: object, text: str
) -> None:
    """A time in any form that can be read is shown in the contract's, by every way in."""
    response = await way(http, message("x", created_at=given))
    assert response.status_code == 200
    assert await shown(http) == text
    if way is put_grown:
        assert puts[-1] is not None, "it was told by its bytes"


@pytest.mark.parametrize("way", WAYS)
async def test_a_time_of_another_zone(http: httpx.AsyncClient, way: Way) -> None:
    """A time of another zone stays the moment that it is; one that was posted is shown in UTC."""
    sent = "2023-11-15T00:13:20+02:00"
    await way(http, message("x", created_at=sent))
    posted = way in {post, post_both}
    assert await shown(http) == ("2023-11-14T22:13:20Z" if posted else sent)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("given", "text"), TIMES)
async def test_a_time_orders(http: httpx.AsyncClient, way: Way, given: object, text: str) -> None:
    """The newest by created_at are so by the times that were sent, in whatever form."""
    await way(http, message("x", created_at=given))
    moment = read_time(text)
    assert moment is not None
    before, after = ((moment + timedelta(microseconds=step)).isoformat() for step in (-1, 1))
    await http.post(MESSAGES, json={"messages": [message("after", created_at=after)]})
    begins = read_time(0) == moment  # and no time is before it
    if not begins:
        await http.post(MESSAGES, json={"messages": [message("before", created_at=before)]})
    await http.post(MESSAGES, json={"messages": [message("equal", created_at=text)]})
    seen = contents((await http.get(f"{SESSION}?recent_messages_limit=1000")).json())
    others = {full(0)["content"], full(1)["content"]}
    want = ["x", "equal", "after"] if begins else ["before", "x", "equal", "after"]
    assert [content for content in seen if content not in others] == want


@pytest.mark.parametrize(("given", "text"), TIMES)
async def test_the_library_and_the_import_read_the_same(
    valkey_url: str, given: object, text: str
) -> None:
    """What is appended through the library, or imported, has the time that it would have here."""
    async with open_cache(valkey_url) as cache:
        chat = cache.session("s")
        await chat.append(message("x", created_at=given))
        [view] = orjson.loads((await chat.transcript()).view_json)
    found = understood({"messages": [message("x", created_at=given)]}, "s", "s", Settings())
    assert isinstance(found, Document)
    assert view["created_at"] == found.messages[0].created_at == text


@pytest.mark.parametrize("given", NO_TIMES)
async def test_what_is_no_time(http: httpx.AsyncClient, given: object) -> None:
    """A PUT refuses it; a message of any shape is kept as it was sent, and dated on arrival."""
    sent = message("x", created_at=given)
    refused = await put_first(http, sent)
    assert [place for _, place in faults(refused)] == [["body", "messages", 1, "created_at"]]
    assert isinstance(understood({"messages": [sent]}, "s", "s", Settings()), Refused)
    began = datetime.now(UTC)
    assert (await post_both(http, sent)).status_code == 200
    assert (await http.get(MESSAGES)).json()["messages"][-1] == sent
    moment = read_time(await shown(http))
    assert moment is not None
    assert began <= moment <= datetime.now(UTC)


@pytest.mark.parametrize("given", [*NO_TIMES, "left out"])
async def test_times_that_are_required(valkey_url: str, given: object) -> None:
    """With REQUIRE_MESSAGE_TIMESTAMPS each way refuses a message without a time, in one voice."""
    sent = message("x", **({} if given == "left out" else {"created_at": given}))
    async with serving(valkey_url, require_message_timestamps=True) as http:
        answers = [await way(http, sent) for way in (post_both, put_first)]
        assert (await http.get(SESSION)).status_code == 404
        answers += [await way(http, sent) for way in (put_grown, put_other)]
        stored = (await http.get(SESSION)).json()
    assert {answer.content for answer in answers} == {answers[0].content}
    [(_, place)] = faults(answers[0])
    assert place == ["body", "messages", 1, "created_at"][: 3 if given == "left out" else 4]
    assert "created_at" in answers[0].text
    assert answers[0].json()["applied"] == "no"
    assert contents(stored) == [full(0)["content"], full(1)["content"]]


@pytest.mark.parametrize("given", OUT_OF_BOUNDS)
@pytest.mark.parametrize("required", [False, True])
async def test_times_out_of_bounds(valkey_url: str, given: object, *, required: bool) -> None:
    """Each way refuses a time before 1970 or too far ahead, in one voice."""
    async with serving(valkey_url, require_message_timestamps=required) as http:
        answers = [
            await way(http, message("x", created_at=given)) for way in (post_both, put_first)
        ]
        assert answers[0].content == answers[1].content
        assert faults(answers[0]) == [("value_error", ["body", "messages", 1])]
        assert "created_at" in answers[0].json()["detail"][0]["msg"]
        assert answers[0].json()["applied"] == "no"
        assert (await http.get(SESSION)).status_code == 404


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("limit", "ahead", "taken"),
    [
        (0, 60, False),
        (300, 200, True),
        (300, 400, False),
        (86400, 3600, True),
        (MOST_AHEAD, 3 * 10**9, True),
    ],
)
async def test_how_far_ahead(
    valkey_url: str, way: Way, limit: int, ahead: int, *, taken: bool
) -> None:
    """MAX_FUTURE_TIMESTAMP_SECONDS holds for each way, and what it allows is shown as sent."""
    sent = (datetime.now(UTC) + timedelta(seconds=ahead)).replace(microsecond=0).isoformat()
    async with serving(valkey_url, max_future_timestamp_seconds=limit) as http:
        response = await way(http, message("x", created_at=sent))
        assert response.status_code == (200 if taken else 422)
        if taken:
            assert await shown(http) == sent.replace("+00:00", "Z")
