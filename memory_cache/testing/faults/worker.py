"""
One worker process of the bench: a cache of its own, obeying over a socket.

It connects to the driver's unix socket once its cache is open, says its name, and then answers
requests in any order, each a JSON object behind four bytes of length. It ends with the socket.
A test may run a worker that lies instead: a script that passes a subclass of ``Worker`` to
``main``.
"""

import asyncio
import contextlib
import json
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import orjson

from memory_cache import (
    BOUNDED,
    NEWEST,
    CacheConfig,
    Change,
    Consistency,
    MemoryCacheError,
    Page,
    Session,
    SessionCache,
    StoreError,
    at_least,
    open_cache,
)
from memory_cache.testing.faults.rest import held

_HEAD: Final = struct.Struct(">I")
_PAUSE_SECONDS: Final = 0.05

_OWN_TASKS: Final = Counter({"_run": 1, "Worker._reply": 1})
_OWN_SOCKETS: Final = 1  # the driver's

Json = dict[str, Any]


async def receive(reader: asyncio.StreamReader) -> Json:
    """
    Return the next frame.

    Raises:
        asyncio.IncompleteReadError: the other side is gone.
    """
    (size,) = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    frame: Json = orjson.loads(await reader.readexactly(size))
    return frame


def send(writer: asyncio.StreamWriter, frame: Json) -> None:
    """Send a frame; nobody waits for it to leave."""
    data = orjson.dumps(frame)
    writer.write(_HEAD.pack(len(data)) + data)


class Worker:
    """Answers requests from one cache."""

    def __init__(self, cache: SessionCache) -> None:
        """Use the cache; whoever opened it closes it."""
        self._cache = cache
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._does: dict[str, Callable[[Session, Json], Awaitable[Json]]] = {
            "append": _append,
            "put": _put,
            "delete": _delete,
            "recent": _recent,
            "transcript": _transcript,
        }

    async def answer(self, request: Json) -> Json:
        """Return the answer to one request."""
        if request["op"] == "statistics":
            found = self._cache.statistics()
            connected = self._cache._parts.near.connected  # noqa: SLF001  # it has no public name
            return {name: getattr(found, name) for name in found.__slots__} | {
                "connected": connected
            }
        if request["op"] == "held":
            return {"held": held(self._cache, _OWN_TASKS, _OWN_SOCKETS)}
        namespace, user_id, session_id = request["session"].split("/")
        session = self._cache.session(session_id, namespace=namespace, user_id=user_id)
        return await self._does[request["op"]](session, request)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the driver is gone."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await receive(reader)
                if "cancel" in request:
                    if task := self._tasks.get(request["cancel"]):
                        task.cancel()
                    continue
                number: int = request["id"]
                task = asyncio.create_task(self._reply(number, request, writer))
                self._tasks[number] = task
                task.add_done_callback(partial(self._forget, number))

    def _forget(self, number: int, _: asyncio.Task[None]) -> None:
        del self._tasks[number]

    async def _reply(self, number: int, request: Json, writer: asyncio.StreamWriter) -> None:
        try:
            answer = {"ok": True, **await self.answer(request)}
        except MemoryCacheError as error:
            answer = {"ok": False, "code": error.code, "applied": error.applied}
            answer["reason"] = str(error)
        except Exception as error:  # noqa: BLE001  # a bug, which the driver reports
            answer = {"ok": False, "code": "bug", "applied": "unknown", "reason": repr(error)}
        send(writer, {"id": number, **answer})


async def _append(session: Session, request: Json) -> Json:
    change = await session.append(
        request["messages"],
        if_version=request["if_version"],
        operation_id=request["operation_id"],
    )
    return _changed(change)


async def _put(session: Session, request: Json) -> Json:
    change = await session.replace(
        request["messages"],
        if_version=request["if_version"],
        operation_id=request["operation_id"],
    )
    return _changed(change)


async def _delete(session: Session, request: Json) -> Json:
    change = await session.delete(
        if_version=request["if_version"], operation_id=request["operation_id"]
    )
    return _changed(change)


async def _recent(session: Session, request: Json) -> Json:
    page = await session.recent(request["limit"], consistency=_consistency(request))
    return _page(page)


async def _transcript(session: Session, request: Json) -> Json:
    return _page(await session.transcript(consistency=_consistency(request)))


def _consistency(request: Json) -> Consistency:
    if request["asked"] == "at_least":
        return at_least(request["version"])
    return BOUNDED if request["asked"] == "bounded" else NEWEST


def _changed(change: Change) -> Json:
    version = None if change.version is None else str(change.version)
    return {"version": version, "start": change.start, "replayed": change.replayed}


def _page(page: Page) -> Json:
    bodies = b"\n".join(page.bodies).decode().split("\n") if page.bodies else []
    return {
        "version": None if page.version is None else str(page.version),
        "first": page.first,
        "next": page.next,
        "start": page.start,
        "tier": page.tier.value,
        "bodies": bodies,
    }


def main(kind: type[Worker] = Worker) -> None:
    """Run one, as told by the arguments: the socket, its name, the store's URL, the settings."""
    path, name, url, settings = sys.argv[1:]
    asyncio.run(_run(kind, path, name, url, CacheConfig(**json.loads(settings))))


async def _run(kind: type[Worker], path: str, name: str, url: str, config: CacheConfig) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    while True:
        try:
            async with open_cache(url, config=config) as cache:
                send(writer, {"hello": name})
                await kind(cache).serve(reader, writer)
                return
        except StoreError:
            if reader.at_eof():
                return
            await asyncio.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    main()
