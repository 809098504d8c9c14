"""
The values of channels: each is kept once, and of a list that grows what is new.

A list that grew by some elements is the same list with more at its end, whatever reducer made it:
it is kept as a transcript of its own, of which a checkpoint takes the first so many.
"""

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, Final, TypeVar
from uuid import uuid4

import orjson
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot

import memory_cache as mc
from memory_cache.adapters._langgraph_log import WHAT, Line, Log
from memory_cache.adapters._reading import reading
from memory_cache.adapters._threads import aside

_LONG: Final = 8
_MANY: Final = 100
_SMALL: Final = 256
_LARGE: Final = 256 * 1024
_ANY_NAME: Final = "0" * 32
_NAME: Final = re.compile("[0-9a-f]{32}")

T = TypeVar("T")

Stored = dict[str, Any]
"""A value as a checkpoint's line has it: itself, or where it is."""

Part = dict[str, str]


class Values:
    """The values of one thread's channels."""

    def __init__(
        self, cache: mc.SessionCache, namespace: str, thread: str, ttl_seconds: int | None = None
    ) -> None:
        """Keep lists that grow in sessions of this namespace, which live so long once written."""
        self._cache = cache
        self._namespace = namespace
        self._thread = thread
        self._ttl_seconds = ttl_seconds
        self._lists: dict[str, list[Part]] = {}

    async def keep(
        self, serde: SerializerProtocol, value: object, version: object, before: Stored | None
    ) -> Stored:
        """Return how a value is kept that came after another one."""
        snapshot = isinstance(value, _DeltaSnapshot)
        inner = value.value if isinstance(value, _DeltaSnapshot) else value
        if type(inner) is not list or len(inner) < _LONG:
            return {"version": version, "typed": packed(serde, value)}
        earlier = (before or {}).get("count", 0)

        def pack() -> tuple[list[Part], dict[int, str]]:
            parts = [packed(serde, each) for each in inner]
            return parts, _digests(parts, earlier)

        parts, digests = await _aside(pack, len(inner))
        grown = earlier > 0 and before is not None and digests.get(earlier) == before["digest"]
        if grown and before is not None and earlier == len(parts):
            return {**before, "version": version, "snapshot": snapshot}
        place: Stored
        if grown and before is not None and await self._extended(before, parts):
            place = {"list": before["list"]}
        elif grown or sum(len(part["data"]) for part in parts) > _LARGE:
            place = {"list": uuid4().hex}
            await self._session(place["list"]).append(parts, ttl_seconds=self._ttl_seconds)
        else:
            place = {"items": parts}
        about = {"count": len(parts), "digest": digests[len(parts)], "snapshot": snapshot}
        return {"version": version, **about, **place}

    async def load(self, serde: SerializerProtocol, log: Log, name: str, stored: Stored) -> Any:  # noqa: ANN401  a channel's
        """
        Return a value, for who is ``reading``.

        Raises:
            DamagedSessionError: it is not there any more.
            TranscriptEditedError: nor is the thread.
        """
        about = _checked(stored)
        if "at" in stored:
            stored = _checked((await log.line(stored["at"]))["values"][name])
        if "typed" in stored:
            return unpacked(serde, stored["typed"])
        parts = stored["items"] if "items" in stored else await self._listed(stored, log)
        if len(parts) != stored["count"]:
            raise ValueError
        inner = await _aside(lambda: [unpacked(serde, part) for part in parts], len(parts))
        return _DeltaSnapshot(inner) if about["snapshot"] else inner

    def _session(self, name: str) -> mc.Session:
        handle = self._cache.session(name, namespace=self._namespace, user_id=self._thread)
        return handle.large()

    async def _extended(self, before: Stored, parts: list[Part]) -> bool:
        """Add what is new to a list; False: it has gone on otherwise since, from a fork."""
        if "list" not in before:
            return False
        session, added = self._session(before["list"]), parts[before["count"] :]
        page = await session.recent(0, consistency=mc.NEWEST)
        if page.version is None or page.next != before["count"]:
            return False
        try:
            await session.append(added, if_version=page.version, ttl_seconds=self._ttl_seconds)
        except mc.VersionMismatchError:
            return False
        return True

    async def _listed(self, stored: Stored, log: Log) -> list[Part]:
        name = stored["list"]
        if name not in self._lists:
            self._lists[name] = (await self._session(name).transcript()).messages
        if len(self._lists[name]) < stored["count"]:
            await log.is_there()
            raise mc.DamagedSessionError("a list of the thread is not there any more")
        return self._lists[name][: stored["count"]]


def known(line: Line, seq: int) -> dict[str, Stored]:
    """
    Return how the values of a checkpoint are kept in the next one, where they are the same.

    Those of ``past`` are none of its own: lists that channels had before, from which they may grow.
    A delta channel has a value only now and then.
    """
    with reading(WHAT):
        past = {channel: _checked(each) for channel, each in line["past"].items()}
        own = {channel: carried(_checked(each), seq) for channel, each in line["values"].items()}
    return {**past, **own}


def carried(stored: Stored, seq: int) -> Stored:
    """Return how the value of a checkpoint is kept in the next one, where it is the same."""
    if "at" in stored or "list" in stored or len(orjson.dumps(stored)) <= _SMALL:
        return stored
    about = {each: stored[each] for each in stored if each not in {"typed", "items"}}
    return {**about, "at": seq}


def packed(serde: SerializerProtocol, value: object) -> Part:
    """Return a value as the serializer writes it, in JSON."""
    kind, data = serde.dumps_typed(value)
    return {"type": kind, "data": b64encode(data).decode()}


def unpacked(serde: SerializerProtocol, part: Part) -> Any:  # noqa: ANN401  whatever was packed
    """Return what was packed."""
    return serde.loads_typed((part["type"], b64decode(part["data"], validate=True)))


async def _aside(work: Callable[[], T], size: int) -> T:
    """Do what takes some milliseconds in a thread: the event loop has others to serve."""
    return await aside(work) if size > _MANY else work()


def _checked(stored: Stored) -> Stored:
    """Return how a value is kept; ``ValueError``: it is none."""
    match stored:
        case {"count": int(count), "digest": str(), "snapshot": bool(), "version": _} if count >= 0:
            if _NAME.fullmatch(stored.get("list", _ANY_NAME)):
                return stored
        case {"version": _} if "count" not in stored and "list" not in stored:
            return stored
    raise ValueError


def _digests(parts: list[Part], count: int) -> dict[int, str]:
    """Return what the first ``count`` parts are known by again, and all of them."""
    digest, found = hashlib.blake2b(digest_size=16), dict[int, str]()
    for at, part in enumerate(parts, 1):
        digest.update(f"{part['type']} {part['data']}\n".encode())
        if at in {count, len(parts)}:
            found[at] = digest.hexdigest()
    return found
