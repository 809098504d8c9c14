"""What is remembered of a PUT: the echo out of its body, the warning, and records that are none."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import xxhash
from redis.asyncio import Redis

from memory_cache_server.put_record import PutRecord
from memory_cache_server.putting import Put
from support.in_process import SESSION, serving
from support.put_bodies import full, put


@pytest.mark.parametrize(
    ("changes", "echoed"),
    [
        ({}, True),
        ({"id": "left out"}, False),
        ({"created_at": "left out"}, False),
        ({"persisted_at": "2026-01-01", "discrete_memory_extracted": "left out"}, False),
        ({"content": '","discrete_memory_extracted":"f"'}, True),
        ({"created_at": "2026-01-01T00:00:00+00:00"}, False),
        ({"created_at": "2026-01-01T01:00:00+01:00"}, True),
        ({"discrete_memory_extracted": "left out", "topics": ["a"]}, False),
        ({"content": "\u0000 \U0001f600"}, True),
    ],
)
@pytest.mark.parametrize("odd", [2, 7])
@pytest.mark.parametrize("always", [{}, {"persisted_at": "left out"}], ids=["as read", "by client"])
async def test_echo(
    valkey_url: str,
    puts: list[Put | None],
    changes: dict[str, object],
    odd: int,
    always: dict[str, object],
    *,
    echoed: bool,
) -> None:
    """The echo is what a GET gives, also where it is a piece of the body, and one is odd."""
    async with serving(valkey_url) as client:
        for count in (4, 5, 6, 8, 8, 9):
            messages = [
                full(at, **{**always, **(changes if at == odd else {})}) for at in range(count)
            ]
            body = {"namespace": "acme", "messages": messages, "context": str(count)}
            text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
            answer = await put(client, text.encode())
            read = await client.get(SESSION, params={"namespace": "acme"})
            assert answer.headers["memory-version"] == read.headers["memory-version"]
            here, there = answer.json(), read.json()
            assert {**there, "data": None} == here
            assert len(here["messages"]) == count
            messages_, _, _ = answer.content.partition(b',"memories":')
            assert read.content.startswith(messages_), "byte for byte"
    last = [put for put in puts if put][-1]
    assert (last.echo is not None) == echoed


async def test_warning_ends_with_its_message(valkey_url: str, puts: list[Put | None]) -> None:
    """A message without a time is told of for as long as it is sent, not for ever."""
    told = []
    async with serving(valkey_url) as client:
        for count, changes in (
            (5, {}),
            (6, {"created_at": "left out"}),
            (6, {}),
            (7, {}),
            (8, {"id": "left out"}),
            (8, {}),
            (9, {}),
        ):
            messages = [full(at) for at in range(count)]
            messages[-1] = full(count - 1, **changes)
            body = json.dumps({"messages": messages}, separators=(",", ":"), ensure_ascii=False)
            answer = await put(client, body.encode())
            told.append("x-deprecation-warning" in answer.headers)
    assert told == [False, True, False, False, False, False, False]
    assert [put is not None and put.echo is not None for put in puts] == [
        False, True, True, False, True, True,
    ]  # fmt: skip


async def test_warning_stays_with_its_message(valkey_url: str, puts: list[Put | None]) -> None:
    """A message without a time is told of each time that it is sent."""
    told = []
    async with serving(valkey_url) as client:
        for count in (5, 6, 7, 8, 9):
            messages = [full(at, **({"created_at": "left out"} if at == 5 else {}))
                        for at in range(count)]  # fmt: skip
            body = json.dumps({"messages": messages}, separators=(",", ":"), ensure_ascii=False)
            told.append("x-deprecation-warning" in (await put(client, body.encode())).headers)
    assert told == [False, True, True, True, True]
    assert all(puts), "each was told by its bytes"


async def test_percentage_of_what_is_sent_again(valkey_url: str, puts: list[Put | None]) -> None:
    """A transcript that did not grow takes as much of the window as it did."""
    body = json.dumps({"messages": list(map(full, range(9)))}, separators=(",", ":"),
                      ensure_ascii=False)  # fmt: skip
    async with serving(valkey_url) as client:
        used = {
            (await client.put(
                f"{SESSION}?context_window_max=1000", content=body.encode(),
                headers={"content-type": "application/json"},
            )).json()["context_percentage_total_used"]
            for _ in range(3)
        }  # fmt: skip
    assert len(used) == 1
    assert used.pop() > 0
    assert all(put is not None and put.echo is not None for put in puts)


@pytest.mark.parametrize(
    "data",
    [{"user_id": "line one\nline two"}, {"namespace": "n" * 600}, {"namespace": "elsewhere"}],
)
async def test_words_of_a_scope_elsewhere(
    valkey_url: str, puts: list[Put | None], data: dict[str, str]
) -> None:
    """What looks like a scope near the end of the body is but a guess."""
    async with serving(valkey_url) as client:
        wrong = await put(client, json.dumps({"messages": [], "namespace": "bad\n"}).encode())
        assert wrong.json()["detail"][0]["loc"] == ["body", "namespace"]
        await client.post(f"{SESSION}/messages?namespace=elsewhere", json={"messages": [{"a": 1}]})
        async with Redis.from_url(valkey_url, protocol=2) as admin:
            [name] = [key async for key in admin.scan_iter("mc:{*") if b":op:" not in key]
            await admin.hset(name, "h", "damaged")
        for count in (4, 5, 6):
            body = {"namespace": "acme", "messages": list(map(full, range(count))), "data": data}
            answer = await put(client, json.dumps(body).encode())
            assert (answer.status_code, answer.json()["namespace"]) == (200, "acme")
            assert len(answer.json()["messages"]) == count
    assert any(puts), "the third is guessed rightly, and known"


@pytest.mark.parametrize(
    "facts", [b"", b"5", b"null", b"[]", b'[1,"f",7,[]]', b'[2,"f",7,[[1,2]]]', b"{"]
)
async def test_record_of_another_release(valkey_url: str, facts: bytes) -> None:
    """A record that this server would not have written is as none."""
    messages = [full(at, content="x" * 5_000) for at in range(8)]
    async with serving(valkey_url) as client:
        for count in (4, 5, 6):
            body = json.dumps({"messages": messages[:count]}).encode()
            answer = await put(client, body)
            assert answer.status_code == 200
            async with Redis.from_url(valkey_url, protocol=2) as admin:
                [name] = [key async for key in admin.scan_iter("mc:{*") if b":op:" not in key]
                held = await admin.hget(name, "p")
                assert isinstance(held, bytes)
                await admin.hset(name, "p", held.split(b" ")[0] + b" " + facts + b"\nhead")


@pytest.mark.parametrize(
    "facts",
    [
        "[3,{print},7,5]",
        "[3,{print},7,[]]",
        "[3,{print},7,[[1,2]]]",
        '[3,{print},7,["abcde"]]',
        '[3,{print},7,[[1,"2","3",false,[]]]]',
        '[3,{print},7,[[1,2,"3",false,[9]]]]',
        '[3,{print},7,[[1,2,"3",false,[[]]]]]',
        '[3,{print},"7",[[1,2,"3",false,[0]]]]',
        "[3]",
        "{{",
    ],
)
def test_record_that_lies(facts: str) -> None:
    """One that is not of its kind is as none, even with the right sum over it."""
    text = facts.format(print='"f"').encode() + b"\nhead"
    assert PutRecord.load(xxhash.xxh3_64_hexdigest(text).encode() + text, "f") is None


@pytest.mark.parametrize(
    ("created_at", "before", "after"),
    [
        ("left out", {}, {"require_message_timestamps": True}),
        ("soon", {"max_future_timestamp_seconds": 86_400}, {}),
    ],
)
async def test_stricter_settings(
    valkey_url: str, created_at: str, before: dict[str, object], after: dict[str, object]
) -> None:
    """What a server with other settings has taken is not known to one that is stricter."""
    if created_at == "soon":
        created_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    messages = [full(at, content="x" * 5_000, created_at=created_at) for at in range(5)]
    body = json.dumps({"messages": messages}).encode()
    async with serving(valkey_url, **before) as client:
        assert (await put(client, body)).status_code == 200
        assert (await put(client, body)).status_code == 200
    messages.append(full(5))
    async with serving(valkey_url, **after) as client:
        answer = await put(client, json.dumps({"messages": messages}).encode())
    assert answer.status_code == 422
