"""
Sessions that frameworks keep as one Redis list each, a message of JSON to an item.

What they wrote is stored as they wrote it, so their adapter here finds it.
"""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from memory_cache import InvalidInputError, InvalidNameError, parse_json, session_key
from memory_cache_server.importing.found import (
    ChangedError,
    Found,
    Gone,
    Read,
    Refused,
    Transcript,
    shown,
)
from memory_cache_server.importing.layouts import LANGCHAIN, LLAMA_INDEX, OPENAI_AGENTS
from memory_cache_server.importing.wire import WRONG_TYPE, Reader, SourceRedis, pattern_of
from memory_cache_server.resp import RespError

T = TypeVar("T")

SLICE_BYTES: Final = 512 * 1024
MOST_ITEMS: Final = 1024

_FIRST_ITEMS: Final = 32
_NO_KEY: Final = -2


@dataclass(frozen=True, slots=True)
class Layout:
    """
    How a framework names its lists, and which end of one is the oldest.

    Attributes:
        prefix, joint, after: what stands in a key around the id of a session; the first is
            configured there.
        namespace: where the adapter of the framework looks for sessions.
        raw: whether a key is an id as it is. What is no list is somebody else's then.
    """

    prefix: str
    joint: str = ""
    after: str = ""
    namespace: str = ""
    newest_first: bool = False
    raw: bool = False

    @property
    def pattern(self) -> str:
        """The keys of this layout, for SCAN."""
        return f"{pattern_of(self.prefix + self.joint)}*{pattern_of(self.after)}"

    def id_of(self, key: str) -> str:
        """Return the id of the session that a key of this layout is of."""
        if self.raw:
            return key
        return key[len(self.prefix + self.joint) : len(key) - len(self.after)]


LAYOUTS: Final = {
    OPENAI_AGENTS: Layout("agents:session", ":", ":messages"),
    LANGCHAIN: Layout("message_store:", newest_first=True),
    LLAMA_INDEX: Layout("", namespace="llama-index", raw=True),
}


class Lists:
    """A source: see the module."""

    def __init__(self, redis: SourceRedis, layout: Layout, namespace: str | None) -> None:
        self._redis = redis
        self._layout = layout
        self._namespace = layout.namespace if namespace is None else namespace

    async def count(self) -> int | None:
        """See `Source`."""
        return await self._redis.count(self._layout.pattern)

    async def readings(self) -> AsyncGenerator[Read]:
        """See `Source`."""
        async with aclosing(self._redis.keys(self._layout.pattern)) as keys:
            async for key in keys:
                yield partial(self._read, key)

    async def aclose(self) -> None:
        """See `Source`."""
        await self._redis.aclose()

    async def _read(self, raw_key: bytes) -> Found | None:
        name = shown(raw_key)
        try:
            key = raw_key.decode()
        except UnicodeDecodeError:
            return Refused(name, "the key is not UTF-8")
        async with self._redis.reader() as reader:
            kind = await reader.text("TYPE", key)
            left_ms = await reader.number("PTTL", key)
        if kind == "none" or left_ms == _NO_KEY:
            return Gone(name)
        if kind != "list":
            return None if self._layout.raw else Refused(name, f"is a {kind}, no list")
        try:
            named = session_key(self._layout.id_of(key), self._namespace)
        except InvalidNameError as error:
            return Refused(name, str(error))
        ttl = None if left_ms < 0 else max(1, -(-left_ms // 1000))
        return Transcript(name, named, partial(self._slices, key), ttl_seconds=ttl)

    async def _slices(self, key: str, remarks: list[str]) -> AsyncGenerator[list[dict[str, Any]]]:
        """Yield the messages, oldest first; the list must be the same from first to last."""
        count, at = _FIRST_ITEMS, 0
        messages: list[dict[str, Any]] = []
        async with self._redis.reader() as reader:
            await reader.command("WATCH", key)
            length = await _list(reader.number("LLEN", key))
            while at < length:
                count = min(count, length - at)
                items = await self._items(reader, key, at, count)
                messages = _messages(items, at, remarks)
                at += count
                size = sum(map(len, items))
                count = max(1, min(MOST_ITEMS, 2 * count, count * SLICE_BYTES // max(1, size)))
                if at < length:
                    yield messages
            # A transaction of nothing: it fails if what is watched has changed, or expired.
            await reader.command("MULTI")
            if await reader.command("EXEC") is None:
                raise ChangedError("the list changed while it was read")
        if length:
            yield messages

    async def _items(self, reader: Reader, key: str, at: int, count: int) -> list[bytes]:
        first, last = at, at + count - 1
        if self._layout.newest_first:
            # Counted from the old end, where nothing is added.
            first, last = -at - count, -at - 1
        reply = await _list(reader.command("LRANGE", key, str(first), str(last)))
        found = reply if isinstance(reply, list) else []
        items = [item for item in found if isinstance(item, bytes)]
        if len(items) != count:
            raise ChangedError("the list changed while it was read")
        return items[::-1] if self._layout.newest_first else items


async def _list(reply: Awaitable[T]) -> T:
    try:
        return await reply
    except RespError as error:
        if str(error).startswith(WRONG_TYPE):
            raise ChangedError("it is no list any more") from None
        raise


def _messages(items: list[bytes], at: int, remarks: list[str]) -> list[dict[str, Any]]:
    """Return items as messages, with a remark for each that cannot be one."""
    messages = []
    for place, raw in enumerate(items, at):
        try:
            value = parse_json(raw)
        except InvalidInputError as error:
            where = "" if error.field == "body" else f" ({error.field.removeprefix('body.')})"
            remarks.append(f"message {place}{where} {error.reason}")
            continue
        if isinstance(value, dict):
            messages.append(value)
        else:
            remarks.append(f"message {place} is JSON, but no object")
    return messages
