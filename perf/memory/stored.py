"""What sessions cost in Redis: as we keep them, and as one document each."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from memory_cache import CacheConfig, ContractMessage, Session, SessionCache, open_cache
from perf.memory.sizes import bare, messages, raw_bytes

SHORT = 4
CONFIG = CacheConfig(near_cache_bytes=0)
GONE_SECONDS = 20


def contract(message: dict[str, Any]) -> ContractMessage:
    """Return a message as the library takes it from a PUT."""
    kept = {name: message[name] for name in ("role", "content", "id", "created_at")}
    return ContractMessage(**kept)


@dataclass(frozen=True, slots=True)
class Meter:
    """A server's own count of its memory; ``idle``: its connections when nobody works."""

    url: str
    idle: int

    async def used(self) -> int:
        """Return the bytes in use when nobody but we is connected: buffers are no data."""
        async with Redis.from_url(self.url, protocol=2) as admin, asyncio.timeout(GONE_SECONDS):
            await _forget_operations(admin)
            while not await self._quiet(admin):  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)
            return int((await admin.info("memory"))["used_memory"])

    async def _quiet(self, admin: Redis) -> bool:
        """Whether nobody else is connected, and what was deleted has been given back."""
        clients, memory = await admin.info("clients"), await admin.info("memory")
        gone = int(memory["lazyfree_pending_objects"]) == 0
        return gone and int(clients["connected_clients"]) <= self.idle

    async def flush(self) -> None:
        """Forget everything."""
        async with Redis.from_url(self.url, protocol=2) as admin:
            await admin.flushall()


async def stored(url: str, lengths: Sequence[int], short_sessions: int) -> dict[str, Any]:
    """Return bytes by layout, of one session of each length and of many short ones."""
    async with Redis.from_url(url, protocol=2) as admin:
        meter = Meter(url, (await admin.info("clients"))["connected_clients"])
    found: dict[str, Any] = {"long": [], "short": {}}
    for length in lengths:
        count = max(1, 5_000 // length)
        row = await _both(meter, count, length)
        found["long"].append({"messages": length, "sessions": count, **row})
    found["short"] = {"messages": SHORT, "sessions": short_sessions}
    found["short"] |= await _both(meter, short_sessions, SHORT)
    return found


async def _both(meter: Meter, sessions: int, length: int) -> dict[str, float]:
    """Return bytes by form: messages of six fields, the same as one document, and bare ones."""
    row: dict[str, float] = {}
    for form, shape in (("ours", list), ("bare", bare)):
        raw = sum(raw_bytes(shape(messages(length, number))) for number in range(sessions))
        row |= _costs(form, await _ours(meter, sessions, length, form), raw, sessions)
        if form == "ours":
            row |= _costs("whole", await _whole(meter, sessions, length), raw, sessions)
    return row


def _costs(form: str, used: int, raw: int, sessions: int) -> dict[str, float]:
    return {
        form: used,
        f"{form}_raw": raw,
        f"{form}_ratio": round(used / raw, 4),
        f"{form}_beside_raw": round((used - raw) / sessions),
    }


async def _ours(meter: Meter, sessions: int, length: int, form: str) -> int:
    """Return how many bytes more the server uses, by its own count."""
    # Scripts and their interpreter take memory once per server: not counted to the first session.
    await _fill(meter.url, [sessions], length, form)
    async with open_cache(meter.url, config=CONFIG) as cache:
        await _chat(cache, sessions).delete()
    before = await meter.used()
    await _fill(meter.url, range(sessions), length, form)
    after = await meter.used()
    await meter.flush()
    return after - before


async def _fill(url: str, numbers: Iterable[int], length: int, form: str) -> None:
    async with open_cache(url, config=CONFIG) as cache:
        for number in numbers:
            chat = _chat(cache, number)
            found = messages(length, number)
            if form == "ours":
                change, _ = await chat.put([contract(message) for message in found], {})
            else:
                for at in range(0, length, 500):
                    change = await chat.append(bare(found[at : at + 500]))
            assert change.end == length, "a wrong answer"


def _chat(cache: SessionCache, number: int) -> Session:
    return cache.session(f"chat-{number}", namespace="acme", user_id=f"u{number % 50}")


async def _whole(meter: Meter, sessions: int, length: int) -> int:
    before = await meter.used()
    async with Redis.from_url(meter.url, protocol=2) as client:
        for number in range(sessions):
            document = {
                "messages": messages(length, number),
                "memories": [],
                "context": None,
                "user_id": f"u{number % 50}",
                "tokens": 0,
                "session_id": f"chat-{number}",
                "namespace": "acme",
                "ttl_seconds": None,
                "data": None,
            }
            text = json.dumps(document, separators=(",", ":"))
            await client.set(f"whole:acme:u{number % 50}:chat-{number}", text)
    after = await meter.used()
    await meter.flush()
    return after - before


async def _forget_operations(admin: Redis) -> None:
    """Delete the records of operations, which expire by themselves: they are no session's."""
    keys = [key async for key in admin.scan_iter("*:op:*", count=10_000)]
    for at in range(0, len(keys), 1_000):
        await admin.delete(*keys[at : at + 1_000])
