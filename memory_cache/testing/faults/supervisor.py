"""A server that is killed over its embedded store, and two that want the same store."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from memory_cache.testing.checker import check_history
from memory_cache.testing.faults.crew import Member
from memory_cache.testing.faults.final import finals
from memory_cache.testing.faults.ground import (
    STALENESS_SECONDS,
    Ground,
    Kind,
    SkippedError,
    Stage,
)
from memory_cache.testing.faults.recorder import Message
from memory_cache.testing.faults.scores import Expectation
from memory_cache.testing.faults.served import Served, can_serve, end_store
from memory_cache.testing.faults.worker import Json
from memory_cache.testing.history import Applied, History, Write, WriteKind

_SESSION: Final = "n/u/served"
_APPENDERS: Final = 4
_WRITES: Final = 40
_ENOUGH_SECONDS: Final = 20.0
_BYTES: Final = 200
_OK: Final = 200


class _Clients:
    """Append through a server again and again, and remember what came of it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.history = History()
        self.unsure: list[Message] = []
        self.enough = asyncio.Event()

    async def append(self, served: Served) -> None:
        """Go on until the server is gone."""
        while await self.send(served, self._ground.message(_SESSION, _BYTES)):
            if len(self.history.writes) >= _WRITES:
                self.enough.set()

    async def send(self, served: Served, message: Message) -> bool:
        """Append one message under its name; return whether it is known what came of it."""
        sent, done, applied = time.monotonic(), None, Applied.UNKNOWN
        answer: Json = {}
        with contextlib.suppress(OSError, TimeoutError):
            status, answer = await served.append(_SESSION, message.body, message.name)
            done = time.monotonic()
            applied = Applied.YES if status == _OK else Applied(answer["applied"])
        if applied is Applied.UNKNOWN:
            self.unsure.append(message)
        self.history.writes.append(
            Write(
                WriteKind.APPEND,
                _SESSION,
                "nemesis",
                "served",
                sent,
                done,
                applied,
                names=(message.name,),
                operation_id=message.name,
                version=answer.get("version"),
                start=answer.get("start"),
            )
        )
        return applied is not Applied.UNKNOWN


@contextlib.asynccontextmanager
async def _kill(ground: Ground, _: Member) -> AsyncIterator[None]:
    """
    Kill a server amid appends, and have two start on what it leaves.

    One of them must adopt the store that lives on, with all that was acknowledged; the other, like
    one that was started beside the first, must say that the folder is taken.
    """
    if not can_serve():
        raise SkippedError("it needs the server: in a checkout, pip install '.[server]'")
    folder = ground.store.folder.parent / f"served-{next(ground.numbers)}"
    started: list[Served] = []
    try:
        wrong = await _killed_and_adopted(ground, folder, started)
        ground.judge(Expectation.SUPERVISOR, wrong, kept=not wrong)
        yield
    finally:
        for served in started:
            await served.kill()
        end_store(folder)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _killed_and_adopted(ground: Ground, folder: Path, started: list[Served]) -> str:
    """Return what is wrong; nothing: all is as it must be."""

    async def start() -> Served:
        served = await Served.start(folder)
        started.append(served)
        return served

    first = await start()
    if not await first.ready():
        return "it did not start"
    clients = _Clients(ground)
    appending = [asyncio.create_task(clients.append(first)) for _ in range(_APPENDERS)]
    try:
        if await (await start()).ready():
            return "a second one serves beside the first"
        await asyncio.wait_for(clients.enough.wait(), _ENOUGH_SECONDS)
    finally:
        await first.kill()
        # What they wait for is answered, or its connection ends with the worker.
        await asyncio.gather(*appending)
    ground.counts["servers killed over their store"] += 1
    ground.counts["appends cut off by that"] += len(clients.unsure)
    both = [await start(), await start()]
    serving = [served for served in both if await served.ready()]
    if len(serving) != 1:
        return f"{len(serving)} of two serve after the kill"
    for message in [*clients.unsure]:
        if not await clients.send(serving[0], message):
            return "the next one does not answer"
    socket = folder / "valkey.sock"
    clients.history.finals = await finals(socket, [_SESSION], ground.recorder)
    verdict = check_history(clients.history, STALENESS_SECONDS)
    if verdict.anomalies:
        return f"{verdict.anomalies[0].kind}: {verdict.anomalies[0].text}"
    status = await serving[0].ended()
    return f"it ended with {status}" if status or socket.exists() else ""


SUPERVISOR = (
    Kind(
        "kill-supervisor",
        (38,),
        Expectation.SUPERVISOR,
        _kill,
        alone=True,
        stages=frozenset({Stage.SAFE}),
        share=0.1,
        seconds=(0.0, 0.1),
    ),
)
