"""Faults by the store's own levers: commands that a living store obeys."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

import hiredis

from memory_cache.testing.faults.crew import Member
from memory_cache.testing.faults.ground import Ground, Kind, Stage, meanwhile, repeating
from memory_cache.testing.faults.resp import StoreRefusedError, ask, info
from memory_cache.testing.faults.scores import Expectation
from memory_cache.testing.faults.worker import Json

_OFTEN_SECONDS: Final = 0.05
_ECHO_SECONDS: Final = (0.0, 0.0, 0.01, 0.3)
_LONG_MESSAGE: Final = 20_000
_PROBE_SESSION: Final = "n/u/probe"
_DEFAULT_BUFFER: Final = "pubsub 32mb 8mb 60"
_SPIN: Final = "#!lua\nwhile true do end"


@contextlib.asynccontextmanager
async def _kill_subscribers(ground: Ground, _: Member) -> AsyncIterator[None]:
    async def act() -> None:
        await ground.order(("CLIENT", "KILL", "TYPE", "pubsub"))
        ground.counts["times subscribers killed"] += 1

    async with repeating(_OFTEN_SECONDS, act):
        yield


@contextlib.asynccontextmanager
async def _kill_clients(ground: Ground, _: Member) -> AsyncIterator[None]:
    async def act() -> None:
        await ground.order(("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
        ground.counts["times clients killed"] += 1

    async with repeating(ground.random.uniform(0.1, 0.5), act):
        yield


@contextlib.asynccontextmanager
async def _small_buffer(ground: Ground, member: Member) -> AsyncIterator[None]:
    """Every delta of a long message is more than the buffer takes: its subscribers are killed."""
    config = ("CONFIG", "SET", "client-output-buffer-limit")
    before = await _disconnections(ground)
    await ground.order((*config, "pubsub 16kb 8kb 1"))

    async def act() -> None:
        await ground.append(member, ground.sessions[0], _LONG_MESSAGE)

    try:
        async with repeating(_OFTEN_SECONDS, act):
            yield
    finally:
        await ground.order((*config, _DEFAULT_BUFFER))
        # Another fault may have begun the store anew, and its count.
        times = max(0, await _disconnections(ground) - before)
        ground.counts["subscribers killed by their buffer"] += times


async def _disconnections(ground: Ground) -> int:
    """Return how many clients the store has killed for what waits for them."""
    try:
        found = await info(ground.store.port, "stats")
    except (OSError, TimeoutError, StoreRefusedError):
        return 0
    return int(found["client_output_buffer_limit_disconnections"])


@contextlib.asynccontextmanager
async def _forget_scripts(ground: Ground, _: Member) -> AsyncIterator[None]:
    async def act() -> None:
        await ground.order(("SCRIPT", "FLUSH"))
        ground.counts["script flushes"] += 1

    async with repeating(_OFTEN_SECONDS, act):
        yield
    ground.judge(Expectation.SCRIPTS, "", kept=True)


@contextlib.asynccontextmanager
async def _sleep(ground: Ground, _: Member) -> AsyncIterator[None]:
    seconds = ground.random.uniform(0.3, 3.0)
    command = ("DEBUG", "SLEEP", f"{seconds:.2f}")
    task = asyncio.create_task(ask(ground.store.port, command, patience=seconds + 2))
    try:
        yield
    finally:
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def _spin(ground: Ground, _: Member) -> AsyncIterator[None]:
    await ground.order(("CONFIG", "SET", "busy-reply-threshold", 200))
    task = asyncio.create_task(ask(ground.store.port, ("EVAL", _SPIN, 0), patience=10.0))
    try:
        yield
    finally:
        while not task.done():
            await ground.order(("SCRIPT", "KILL"))
            await asyncio.wait([task], timeout=_OFTEN_SECONDS)
        await asyncio.gather(task, return_exceptions=True)
        await ground.order(("CONFIG", "SET", "busy-reply-threshold", 5000))


@contextlib.asynccontextmanager
async def _full(ground: Ground, member: Member) -> AsyncIterator[None]:
    try:
        async with meanwhile(_fill(ground, member)):
            yield
    finally:
        await ground.order(("CONFIG", "SET", "maxmemory", 0))


async def _fill(ground: Ground, member: Member) -> None:
    await ground.append(member, _PROBE_SESSION)
    await ground.order(("CONFIG", "SET", "maxmemory", 1))
    refused = await ground.append(member, _PROBE_SESSION)
    read = await ground.newest(member, _PROBE_SESSION)
    deleted = await ground.delete(member, _PROBE_SESSION)
    full = "the store is full"
    if refused is not None and _reason(refused) == full:
        others = [_reason(read), _reason(deleted)]
        kept = refused["applied"] == "no" and full not in others
        if ground.is_alone:
            # Nothing else is in their way.
            kept = kept and all(each is not None and each["ok"] for each in (read, deleted))
        text = f"append: {refused['applied']}, read: {others[0]}, delete: {others[1]}"
        ground.judge(Expectation.FULL, text, kept=kept)


def _reason(answer: Json | None) -> str | None:
    return answer.get("reason") if answer is not None else None


@contextlib.asynccontextmanager
async def _flush(ground: Ground, _: Member) -> AsyncIterator[None]:
    began = asyncio.get_running_loop().time()
    await ground.order(("FLUSHALL",))
    ground.may_have_lost("flush-all", began, emptied=True)
    yield


@contextlib.asynccontextmanager
async def _echo(ground: Ground, _: Member) -> AsyncIterator[None]:
    """Publish every delta a second time, some of them late."""
    async with meanwhile(_echoing(ground)):
        yield


async def _echoing(ground: Ground) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ground.store.port)
    _, speaker = await asyncio.open_connection("127.0.0.1", ground.store.port)
    ours: Counter[tuple[bytes, bytes]] = Counter()
    delays = itertools.cycle(_ECHO_SECONDS)
    parser = hiredis.Reader()
    loop = asyncio.get_running_loop()
    try:
        writer.write(hiredis.pack_command(("PSUBSCRIBE", "0:mc:{*")))  # type: ignore[arg-type] # their stub says one item
        while data := await reader.read(65536):
            parser.feed(data)
            while (reply := parser.gets()) is not False:
                if reply[0] != b"pmessage":
                    continue
                channel, text = reply[2:]
                if ours[channel, text]:
                    ours[channel, text] -= 1
                    continue
                ours[channel, text] += 1
                packed = hiredis.pack_command(("PUBLISH", channel, text))  # type: ignore[arg-type] # as above
                loop.call_later(next(delays), _say, speaker, packed)
                ground.counts["deltas delivered twice"] += 1
    finally:
        writer.transport.abort()
        speaker.transport.abort()


def _say(speaker: asyncio.StreamWriter, packed: bytes) -> None:
    if not speaker.is_closing():
        speaker.write(packed)


LEVERS = (
    Kind("kill-subscribers", (24,), "subscribes again; no stale read", _kill_subscribers, "bus"),
    Kind("kill-clients", (3, 24), "connects again; a change is made once", _kill_clients, "bus"),
    Kind("small-buffer", (23,), "the lease ends with the connection", _small_buffer, "buffer"),
    Kind("forget-scripts", (13,), Expectation.SCRIPTS, _forget_scripts, "scripts"),
    Kind("sleep", (22, 29), "errors by the deadline, nothing doubled after", _sleep, "store"),
    Kind("spin", (29,), "a busy store refuses before it begins", _spin, "store"),
    Kind("full-memory", (11,), Expectation.FULL, _full, "memory"),
    Kind("echo", (42,), "a delta heard twice changes nothing", _echo, "echo"),
    Kind(
        "flush-all", (14,), Expectation.FORGOTTEN, _flush, "store", stages=frozenset({Stage.LOSSY})
    ),
)
