from collections.abc import AsyncIterator

import httpx
import pytest

from memory_cache import token_counter
from support.in_process import SESSION, contents, message, serving

PERCENTAGES = ["context_percentage_total_used", "context_percentage_until_summarization"]


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application over an empty store."""
    async with serving(valkey_url) as client:
        yield client


async def put(http: httpx.AsyncClient, *said: str) -> None:
    """Make a session of what a user said, in this order."""
    messages = [message(content, id=f"m{at}") for at, content in enumerate(said)]
    response = await http.put(SESSION, json={"messages": messages})
    assert response.status_code == 200


async def test_recent_messages_limit_sorts_by_created_at(http: httpx.AsyncClient) -> None:
    """The newest by created_at come in ascending order; none, zero and less mean all."""
    days = [3, 1, 2, 3]
    said = [message(f"{at}", created_at=f"2026-01-0{day}") for at, day in enumerate(days)]
    await http.put(SESSION, json={"messages": said})
    for limit, expected in [
        (1, "3"),
        (2, "03"),
        (3, "203"),
        (9, "1203"),
        (0, "0123"),
        (-1, "0123"),
    ]:
        response = await http.get(SESSION, params={"recent_messages_limit": limit})
        assert "".join(contents(response.json())) == expected, limit


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ({}, 4),
        ({"context_window_max": 0}, 4),
        ({"context_window_max": -5}, 1),
        ({"context_window_max": 0, "model_name": "gpt-4o"}, 1),
        ({"model_name": "gpt-4o"}, 4),
        ({"model_name": "gpt-4o", "context_window_max": 1}, 1),
        ({"context_window_max": "two"}, 2),
        ({"context_window_max": "two", "recent_messages_limit": 3}, 2),
        ({"context_window_max": "all", "recent_messages_limit": 1}, 1),
    ],
)
async def test_window(http: httpx.AsyncClient, query: dict[str, object], kept: int) -> None:
    """A window keeps the longest suffix that fits, one message at least; and its percentages."""
    said = ["first one here", "second one", "the third of them", "4"]
    await put(http, *said)
    _, count = token_counter()
    tokens = [count(f"user: {content}") for content in said]
    words = {"two": sum(tokens[2:]), "all": sum(tokens)}
    query = {name: words.get(str(value), value) for name, value in query.items()}
    document = (await http.get(SESSION, params={k: str(v) for k, v in query.items()})).json()
    assert contents(document) == said[-kept:]
    window = query.get("context_window_max", 128000 if "model_name" in query else 0)
    assert isinstance(window, int)
    percentages = [document[field] for field in PERCENTAGES]
    if window <= 0:
        assert percentages == [None, None]
        return
    total, threshold = sum(tokens[-kept:]), int(window * 0.7)
    until = total / threshold * 100 if threshold else 100.0
    assert percentages == [min(total / window * 100, 100.0), min(until, 100.0)]


async def test_percentages_of_nothing(http: httpx.AsyncClient) -> None:
    """A session without messages fills nothing of a window."""
    for window in (10, -1):
        document = (await http.put(SESSION, json={}, params={"context_window_max": window})).json()
        assert [document[field] for field in PERCENTAGES] == [0.0, 0.0]


async def test_a_long_transcript_is_answered_whole(http: httpx.AsyncClient) -> None:
    """A transcript of many blocks comes back whole, as do its tail and its PUT that grew."""
    said = [f"message {at}" for at in range(300)]
    await put(http, *said)
    assert contents((await http.get(SESSION)).json()) == said
    await put(http, *said, "more")
    assert contents((await http.get(SESSION)).json()) == [*said, "more"]
    recent = await http.get(SESSION, params={"recent_messages_limit": 100})
    assert contents(recent.json()) == [*said[-99:], "more"]
    _, count = token_counter()
    window = sum(count(f"user: {content}") for content in ["more", *said[100:]])
    fitting = await http.get(SESSION, params={"context_window_max": window})
    assert contents(fitting.json()) == [*said[100:], "more"]
