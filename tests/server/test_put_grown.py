"""
The PUT that only grew, against what a plain replace would do.

Random turns of a conversation, written as clients write: compact or spaced, with fields before
and after the messages, cut, edited, doubled, with ids left out, with another writer in between.
"""

import asyncio
import json
import os
import random
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from memory_cache import Page
from memory_cache_server.errors import Problem
from memory_cache_server.offload import Offload
from memory_cache_server.putting import Put
from support.in_process import SESSION, serving
from support.put_bodies import put

TURNS = 60


class Client:
    """A client of the contract that keeps its transcript, and writes it in a manner of its own."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.messages: list[dict[str, Any]] = []
        self.made = 0
        self.separators = self.draw.choice([(",", ":"), (", ", ": ")])
        self.order = self.draw.sample(["context", "messages", "namespace", "data"], 4)
        self.dated = self.draw.random() < 0.7
        self.full = self.dated and self.separators == (",", ":") and self.draw.random() < 0.7
        self.context = "c"

    def new(self) -> dict[str, Any]:
        """A message nobody has sent before."""
        self.made += 1
        said: dict[str, Any] = {
            "role": "user",
            "content": f'{self.made} \u00e9 \u2028 "[]{{}}, ' + "x" * 40,
        }
        if self.dated:
            said |= {
                "id": f"id-{self.made}",
                "created_at": f"2026-01-01T00:{self.made // 60 % 60:02}:{self.made % 60:02}Z",
            }
        if self.full:
            said |= {"persisted_at": None, "discrete_memory_extracted": "f"}
        return said

    def turn(self) -> None:
        """Change the transcript, more often by growing than otherwise."""
        what = self.draw.choice(["grow"] * 8 + ["cut", "edit", "head", "double", "fields", "swap"])
        some = self.messages
        if what == "grow" or len(some) < 3:
            some.extend(self.new() for _ in range(self.draw.choice([0, 1, 1, 2, 70])))
        elif what == "cut":
            del some[self.draw.randrange(len(some)) :]
        elif what == "head":
            del some[: self.draw.randrange(len(some))]
            some.append(self.new())
        elif what == "edit":
            some[self.draw.randrange(len(some))] = self.new()
        elif what == "double":
            some.append(dict(some[-1]))
        elif what == "swap":
            some[0], some[-1] = some[-1], some[0]
        else:
            self.context += "!"

    def body(self) -> bytes:
        """The transcript as this client writes it."""
        values = {
            "context": self.context,
            "messages": self.messages,
            "namespace": "acme",
            # The same words elsewhere must not be taken for the transcript.
            "data": {"messages": self.messages[:2], "n": [1.5, 2**53]},
        }
        document = {name: values[name] for name in self.order}
        spaced = self.separators == (", ", ": ")
        return json.dumps(document, separators=self.separators, ensure_ascii=spaced).encode()


def given(page: Page, sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is stored, cut to what the client gave of each message."""
    stored = json.loads(page.view_json)
    assert len(stored) == len(sent)
    return [{name: held[name] for name in each} for held, each in zip(stored, sent, strict=True)]


@pytest.mark.parametrize("seed", range(6))
async def test_same_state(valkey_url: str, puts: list[Put | None], seed: int) -> None:
    """Whatever a client does, the session holds what it sent, and equal messages keep their ids."""
    writer = Client(seed)
    async with serving(valkey_url) as client:
        cache = client._transport.app.state.services.cache  # type: ignore[attr-defined]  # noqa: SLF001
        session = cache.session("s", namespace="acme")
        before: list[dict[str, Any]] = []
        for _ in range(TURNS):
            writer.turn()
            if writer.draw.random() < 0.1:
                await session.append({"role": "user", "content": "somebody else"})
                before = json.loads((await session.transcript()).view_json)
            answer = await put(client, writer.body())
            assert answer.status_code == 200, answer.text
            page = await session.transcript()
            stored = json.loads(page.view_json)
            assert given(page, writer.messages) == writer.messages
            assert answer.json()["messages"] == stored
            assert answer.json()["context"] == writer.context
            for was, is_, sent in zip(before, stored, writer.messages, strict=False):
                if all(was[name] == sent[name] for name in sent):
                    assert was == is_, "an equal message at an equal position was made anew"
                else:
                    break
            assert page.token_count == sum((await session.recent(10_000)).token_counts or ())
            before = stored
    assert sum(put is not None for put in puts) > TURNS // 4, "the short way is taken"
    echoed = any(put.echo is not None for put in puts if put)
    assert echoed == writer.full, "the body's own bytes are the echo where they may be"


async def test_keeps_what_the_contract_cannot_say(valkey_url: str, puts: list[Put | None]) -> None:
    """A client that knows six fields cannot strip a tool call, whichever way its PUT takes."""
    async with serving(valkey_url) as client:
        cache = client._transport.app.state.services.cache  # type: ignore[attr-defined]  # noqa: SLF001
        session = cache.session("s", namespace="acme")
        call = {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"x": 1}}]}
        await session.append([call, {"role": "user", "content": [{"type": "text", "text": "a"}]}])
        seen = json.loads((await session.transcript()).view_json)
        for turn in range(5):
            seen.append({"role": "user", "content": str(turn)})
            body = json.dumps({"messages": seen, "namespace": "acme"}).encode()
            assert (await put(client, body)).status_code == 200
            stored = await session.transcript()
            assert stored.messages[0] == call
            seen = json.loads(stored.view_json)
    assert any(puts)


async def test_rerendered_turn(valkey_url: str, puts: list[Put | None]) -> None:
    """A client that writes last turn's messages anew, as the server dates them, stays on it."""
    messages: list[dict[str, Any]] = []
    async with serving(valkey_url) as client:
        for turn in range(12):
            messages = [
                {**m, "created_at": m["created_at"].replace("123456789Z", "123456Z")}
                for m in messages
            ]
            messages += [
                {
                    "role": "user",
                    "content": f"{turn}/{i}",
                    "id": f"{turn}/{i}",
                    "created_at": f"2026-01-01T00:00:{turn:02}.123456789Z",
                }
                for i in range(3)
            ]
            body = json.dumps({"messages": messages}, separators=(",", ":")).encode()
            answer = await put(client, body)
            assert [m["id"] for m in answer.json()["messages"]] == [m["id"] for m in messages]
    assert all(puts[-8:])


async def test_odd_bodies(valkey_url: str, puts: list[Put | None]) -> None:
    """Bodies that begin as the last one and go on oddly are answered as anybody else's."""
    messages = [
        {"role": "user", "content": "x" * 50, "id": str(i), "created_at": "2026-01-01T00:00:00Z"}
        for i in range(5)
    ]
    body = json.dumps({"messages": messages}, separators=(",", ":")).encode()
    head = body[:-2]
    odd = {
        head + b"]}garbage": 422,
        head + b"]": 422,
        head + b',{"role":"user"}]}': 422,
        head + b',{"role":"user","content":" "}]}': 400,
        head + b'],"messages":[]}': 400,
        head + b'],"user_id":5}': 422,
        head + b',"x"]}': 422,
        head + b',{"role":"user","content":"x","discrete_memory_extracted":1e400}]}': 422,
    }
    async with serving(valkey_url) as client:
        for _ in range(3):
            assert (await put(client, body)).status_code == 200
        for each, status in odd.items():
            answer = await put(client, each)
            assert answer.status_code == status, (each[-40:], answer.text)
            held = (await client.get(SESSION)).json()["messages"]
            assert [m["id"] for m in held] == list("01234")
        moved = await put(client, head + b'],"user_id":"u"}')
        assert moved.json()["user_id"] == "u"
        assert len((await client.get(SESSION)).json()["messages"]) == 5
    assert any(puts)


async def test_long_bodies_are_parsed_beside(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body of megabytes is parsed in another process, errors included, with the same answers."""
    answers: list[bool] = []
    run = Offload.run

    async def watched(self: Offload, *call: Any) -> Any:  # noqa: ANN401  # handed on
        parsed = None
        try:
            parsed = await run(self, *call)
        except Problem:
            parsed = "a problem"
            raise
        finally:
            answers.append(parsed is not None)
        return parsed

    monkeypatch.setattr(Offload, "run", watched)
    messages: list[dict[str, Any]] = []
    async with serving(valkey_url) as client:
        # The second one begins as the first: the rest alone is too long for the event loop.
        for _ in range(2):
            messages += [
                {"role": "user", "content": f"{at} " + "x" * 500, "id": f"{len(messages)}/{at}"}
                for at in range(700)
            ]
            answer = await put(client, json.dumps({"messages": messages}).encode())
            assert [m["id"] for m in answer.json()["messages"]] == [m["id"] for m in messages]
        body = json.dumps({"messages": messages}).encode()
        messages[600]["content"] = " "
        answer = await put(client, json.dumps({"messages": messages}).encode())
        assert (answer.status_code, answer.json()["applied"]) == (400, "no")
        answer = await put(client, body[:-1])
        assert answer.status_code == 422
    assert answers == [True] * 4


async def test_process_beside_is_lost(valkey_url: str) -> None:
    """A long body is taken also where the process beside the worker ends under it."""
    messages = [
        {"role": "user", "content": f"{at} " + "x" * 500, "id": str(at)} for at in range(700)
    ]
    async with serving(valkey_url) as client:
        for turn in range(3):
            messages[0]["content"] = str(turn)
            offload = client._transport.app.state.services.putting._offload  # type: ignore[attr-defined]  # noqa: SLF001
            offload.start()
            with pytest.raises(BrokenProcessPool):
                await asyncio.wrap_future(offload._pool.submit(os._exit, 1))  # noqa: SLF001
            answer = await put(client, json.dumps({"messages": messages}).encode())
            assert [m["id"] for m in answer.json()["messages"]] == [m["id"] for m in messages]
