"""
Measures one peer; runs in that peer's own virtual environment, so it imports nothing of ours.

    python driver.py PEER URL SIZE,SIZE,… ROUNDS

Fills a session, then appends one message and reads the last 20, ROUNDS times: with the object that
has just appended (hot), and with a new object and a new connection (cold). The times exclude
connecting. Prints JSON: by size, milliseconds of each. What is read is compared with what was sent.
"""

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

LAST = 20
SLICE = 500
NAME = "peer"


def load(path: str) -> Any:  # noqa: ANN401  # whatever the peer has there
    """Return an attribute of a module that only this environment has."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def text(seq: int) -> str:
    """Return the content of a message."""
    return f"{seq:07d} {'x' * (160 + seq * 37 % 220)}"


class OpenAi:
    """OpenAI Agents SDK: a list of items, read from its end."""

    def __init__(self, url: str, name: str) -> None:
        """Make a session."""
        client = load("redis.asyncio.Redis").from_url(url)
        make = load("agents.extensions.memory.RedisSession")
        self.session = make(name, redis_client=client)
        self.client = client

    async def fill(self, size: int) -> None:
        """Add many."""
        for at in range(0, size, SLICE):
            await self.session.add_items(
                [self._item(seq) for seq in range(at, at + SLICE)[: size - at]]
            )

    async def append(self, seq: int) -> None:
        """Add one."""
        await self.session.add_items([self._item(seq)])

    async def last(self) -> list[str]:
        """Read the last twenty."""
        return [item["content"] for item in await self.session.get_items(limit=LAST)]

    async def close(self) -> None:
        """Let the connection go."""
        await self.client.aclose()

    @staticmethod
    def _item(seq: int) -> dict[str, str]:
        return {"role": "user", "content": text(seq)}


class LangChain:
    """LangChain: a list of messages, all read each time; it has no async client."""

    def __init__(self, url: str, name: str) -> None:
        """Make a history."""
        make = load("langchain_community.chat_message_histories.RedisChatMessageHistory")
        self.history = make(name, url=url)
        self.message = load("langchain_core.messages.HumanMessage")

    async def fill(self, size: int) -> None:
        """Add many, one by one: it has no other way."""
        for seq in range(size):
            self.history.add_message(self.message(text(seq)))

    async def append(self, seq: int) -> None:
        """Add one."""
        self.history.add_message(self.message(text(seq)))

    async def last(self) -> list[str]:
        """Read all, and keep the last twenty."""
        return [message.content for message in self.history.messages[-LAST:]]

    async def close(self) -> None:
        """Let the connection go."""
        self.history.redis_client.close()


class LlamaIndex:
    """LlamaIndex: a list of messages, all read each time."""

    def __init__(self, url: str, name: str) -> None:
        """Make a store."""
        make = load("llama_index.storage.chat_store.redis.RedisChatStore")
        self.client = load("redis.asyncio.Redis").from_url(url)
        self.sync = load("redis.Redis").from_url(url)
        self.store = make(redis_client=self.sync, aredis_client=self.client)
        self.message = load("llama_index.core.llms.ChatMessage")
        self.name = name

    async def fill(self, size: int) -> None:
        """Set all."""
        many = [self.message(content=text(seq)) for seq in range(size)]
        await self.store.aset_messages(self.name, many)

    async def append(self, seq: int) -> None:
        """Add one."""
        await self.store.async_add_message(self.name, self.message(content=text(seq)))

    async def last(self) -> list[str]:
        """Read all, and keep the last twenty."""
        return [m.content for m in (await self.store.aget_messages(self.name))[-LAST:]]

    async def close(self) -> None:
        """Let the connections go."""
        await self.client.aclose()
        self.sync.close()


class Adk:
    """Google ADK: one JSON string per session, read and written whole."""

    def __init__(self, url: str, name: str) -> None:
        """Make a service."""
        self.client = load("redis.asyncio.Redis").from_url(url, decode_responses=True)
        make = load("google.adk.integrations.redis.RedisSessionService")
        self.service = make(redis_client=self.client)
        self.names = {"app_name": "app", "user_id": "user", "session_id": name}
        self.session: Any = None

    async def fill(self, size: int) -> None:
        """Write the document by hand: ten thousand appends would take half an hour."""
        self.session = await self.service.create_session(**self.names)
        await self.append(0)
        (key,) = await self.client.keys(f"adk:session:*{self.names['session_id']}")
        document = json.loads(await self.client.get(key))
        (event,) = document["events"]
        document["events"] = [
            json.loads(
                json.dumps(event).replace(text(0), text(seq)).replace(event["id"], f"e{seq}")
            )
            for seq in range(size)
        ]
        await self.client.set(key, json.dumps(document))
        self.session = await self.service.get_session(**self.names)

    async def append(self, seq: int) -> None:
        """Add one."""
        types = importlib.import_module("google.genai.types")
        content = types.Content(role="user", parts=[types.Part(text=text(seq))])
        event = load("google.adk.events.Event")(invocation_id="i", author="user", content=content)
        await self.service.append_event(self.session, event)

    async def last(self) -> list[str]:
        """Read the last twenty."""
        config = load("google.adk.sessions.base_session_service.GetSessionConfig")
        found = await self.service.get_session(**self.names, config=config(num_recent_events=LAST))
        return [event.content.parts[0].text for event in found.events]

    async def close(self) -> None:
        """Let the connection go."""
        await self.client.aclose()


PEERS: dict[str, Callable[[str, str], Any]] = {
    "openai-agents": OpenAi,
    "langchain": LangChain,
    "llama-index": LlamaIndex,
    "google-adk": Adk,
}


async def measure(make: Callable[[str, str], Any], url: str, size: int, rounds: int) -> Any:  # noqa: ANN401  # a table
    """Return the milliseconds of each at one size."""
    name = f"{NAME}-{size}"
    peer = make(url, name)
    await peer.fill(size)
    seen: dict[str, list[float]] = {"append": [], "hot": [], "cold": []}
    for seq in range(size, size + rounds):
        seen["append"].append(await _timed(peer.append(seq)))
        seen["hot"].append(await _timed(peer.last(), seq))
        other = make(url, name)
        await make_connection(other)
        seen["cold"].append(await _timed(other.last(), seq))
        await other.close()
    await peer.close()
    return seen


async def make_connection(peer: Any) -> None:  # noqa: ANN401  # any of the above
    """Connect, so that connecting is not measured."""
    client = getattr(peer, "client", None)
    if client is None:
        peer.history.redis_client.ping()
    else:
        await client.ping()


async def _timed(work: Any, newest: int | None = None) -> float:  # noqa: ANN401  # awaitable
    began = time.perf_counter()
    found = await work
    took = (time.perf_counter() - began) * 1e3
    if newest is not None:
        assert found == [text(seq) for seq in range(newest - LAST + 1, newest + 1)], "wrong answer"
    return took


async def main() -> None:
    """Measure at every size, and print."""
    name, url, sizes, rounds = sys.argv[1:]
    found = {
        size: await measure(PEERS[name], url, size, int(rounds))
        for size in map(int, sizes.split(","))
    }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
