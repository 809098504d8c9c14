"""
Sessions in the Redis of an agent-memory-server.

One key each, named by its scope and id, that holds a JSON document; older releases kept the same
JSON in a plain string. Its status keys begin with the same word.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final

from memory_cache_server.importing.document import parse, understood
from memory_cache_server.importing.found import Found, Gone, Read, Refused, shown
from memory_cache_server.importing.wire import WRONG_TYPE, Reader, SourceRedis, pattern_of
from memory_cache_server.resp import RespError
from memory_cache_server.settings import Settings

PREFIX: Final = "working_memory"

_STATUS: Final = ("migration:complete", "migration:remaining")
_READ: Final = {"ReJSON-RL": ("JSON.GET", "."), "string": ("GET",)}
_NO_KEY: Final = -2
_TRIES: Final = 3


class AgentMemoryRedis:
    """A source: see the module."""

    def __init__(
        self, redis: SourceRedis, settings: Settings, namespace: str | None, prefix: str | None
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._namespace = namespace
        self._prefix = PREFIX if prefix is None else prefix

    async def count(self) -> int | None:
        """See `Source`."""
        return await self._redis.count(self._pattern)

    async def readings(self) -> AsyncGenerator[Read]:
        """See `Source`."""
        async with aclosing(self._redis.keys(self._pattern)) as keys:
            async for key in keys:
                yield partial(self._read, key)

    async def aclose(self) -> None:
        """See `Source`."""
        await self._redis.aclose()

    @property
    def _pattern(self) -> str:
        return f"{pattern_of(self._prefix)}:*"

    async def _read(self, raw_key: bytes) -> Found | None:
        name = shown(raw_key)
        try:
            key = raw_key.decode()
        except UnicodeDecodeError:
            return Refused(name, "the key is not UTF-8")
        async with self._redis.reader() as reader:
            held = await _held(reader, key, name)
        if not isinstance(held, tuple):
            return held
        raw, left_ms = held
        rest = key.removeprefix(f"{self._prefix}:")
        if rest in _STATUS and not raw.startswith(b"{"):
            return None
        return self._understood(raw, name, rest, left_ms)

    def _understood(self, raw: bytes, name: str, rest: str, left_ms: int) -> Found | None:
        """Return what a document means; ``rest``: its key behind the prefix."""
        document = parse(raw, name)
        if isinstance(document, Refused):
            return document
        found = understood(document, name, rest if ":" not in rest else "", self._settings)
        if isinstance(found, Refused):
            return found
        if ":".join(filter(None, found.key)) != rest:
            return Refused(name, "the key and the document in it name two sessions")
        if self._namespace is not None and found.key.namespace != self._namespace:
            return None
        if left_ms < 0 or found.ttl_seconds is not None:
            return found
        return replace(found, expires_seconds=max(1, -(-left_ms // 1000)))


async def _held(reader: Reader, key: str, name: str) -> tuple[bytes, int] | Found:
    """Return the document of a key and what is left of its time, or why there is none."""
    for _ in range(_TRIES):
        kind = await reader.text("TYPE", key)
        if kind == "none":
            break
        if kind not in _READ:
            return Refused(name, f"is a {kind}, no session")
        command, *path = _READ[kind]
        try:
            raw = await reader.command(command, key, *path)
        except RespError as error:
            # That server makes a document of an old string when it is asked for it.
            if not str(error).startswith(WRONG_TYPE):
                raise
            continue
        left_ms = await reader.number("PTTL", key)
        if not isinstance(raw, bytes) or left_ms == _NO_KEY:
            break
        return raw, left_ms
    else:
        return Refused(name, "is of another type each time it is looked at")
    return Gone(name)
