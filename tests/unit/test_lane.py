"""A lane, in an order of its parts that a network seldom makes, and before a store that hangs."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError

from memory_cache import CacheClosedError, StoreError, StoreTimeoutError
from memory_cache._redis.connect import Dialer, Node
from memory_cache._redis.lane import Lane, _Call
from memory_cache._redis.url import read_url
from memory_cache._stats import Counters
from support.valkey import ValkeyServer

TIMEOUT_SECONDS = 1.0
MORE_THAN_BUFFERS = b"x" * (32 * 1024 * 1024)
"""What a store that hangs does not take: a part of it stays in this process."""


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A Valkey that may be stopped; in the end it goes on."""
    with ValkeyServer() as server:
        try:
            yield server
        finally:
            os.kill(server.pid, signal.SIGCONT)


@asynccontextmanager
async def lane_to(server: ValkeyServer) -> AsyncIterator[Lane]:
    """A lane that is not connected, and waits long for a connection but not for a reply."""
    lane = Lane(Dialer(read_url(server.url), 60), TIMEOUT_SECONDS, Counters())
    try:
        async with asyncio.timeout(20):
            yield lane
    finally:
        await lane.aclose()


class Wire:
    """What of a connection a lane writes to; it keeps what was written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    async def send_packed_command(self, packed: bytes, **_: Any) -> None:  # noqa: ANN401  # as theirs
        """Take it."""
        self.written.append(packed)

    async def read_response(self, **_: Any) -> bytes:  # noqa: ANN401  # as theirs
        """Give a reply."""
        return b"late"


async def test_nothing_leaves_once_a_reply_is_overdue() -> None:
    """A call made after the lane gave up is not sent there: it would get another one's reply."""
    lane, wire = Lane(Dialer(read_url("redis://localhost"), 1.0), 0.05, Counters()), Wire()
    connection = cast("AbstractConnection", wire)
    overdue = _Call(("GET", "old"), asyncio.get_running_loop().time() - 1)
    lane._sent.append(overdue)
    await lane._watch(connection)
    with pytest.raises(StoreError):
        await overdue.future
    new = _Call(("GET", "new"), asyncio.get_running_loop().time())
    lane._ready.append(new)
    lane._wake.set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lane._write(connection), 0.05)
    assert wire.written == []
    assert list(lane._ready) == [new]


async def test_reply_that_comes_after_all() -> None:
    """The reply to a call that was given up ends the connection, and is given to nobody."""
    lane = Lane(Dialer(read_url("redis://localhost"), 1.0), 0.05, Counters())
    connection = cast("AbstractConnection", Wire())
    overdue = _Call(("GET", "old"), asyncio.get_running_loop().time() - 1)
    lane._sent.append(overdue)
    await lane._watch(connection)
    await asyncio.wait_for(lane._read(connection), 5)
    assert isinstance(overdue.future.exception(), StoreError)


@pytest.mark.parametrize("crash", [asyncio.CancelledError, RuntimeError])
async def test_nobody_waits_for_a_runner_that_is_no_more(
    crash: type[BaseException], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A runner that ends by what it does not expect fails its calls; a bug is told and counted."""

    async def run(_: Lane) -> None:
        await asyncio.sleep(0)
        raise crash

    monkeypatch.setattr(Lane, "_run", run)
    counters = Counters()
    lane = Lane(Dialer(read_url("redis://localhost"), 1.0), 0.05, counters)
    for _ in range(2):
        calls = (lane.call("GET", "one"), lane.call("GET", "two"))
        async with asyncio.timeout(5):
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, StoreError)
                assert error.applied == "no"
    is_bug = crash is RuntimeError
    assert counters.crashes == ({"lane: RuntimeError": 2} if is_bug else {})
    assert caplog.text.count("Traceback") == is_bug
    await lane.aclose()


async def test_order_of_calls_that_wait_for_a_connection(server: ValkeyServer) -> None:
    """The first leaves before all others, and one whose caller was cancelled does not leave."""
    os.kill(server.pid, signal.SIGSTOP)
    async with lane_to(server) as lane:
        calls = [
            asyncio.create_task(lane.call("RPUSH", "list", name, first=name == "first"))
            for name in ("one", "cancelled", "two", "first")
        ]
        await asyncio.sleep(0)
        calls[1].cancel()
        os.kill(server.pid, signal.SIGCONT)
        await asyncio.wait(calls)
        assert await lane.call("LRANGE", "list", 0, -1) == [b"first", b"one", b"two"]


async def test_closed_while_calls_wait_for_a_connection(server: ValkeyServer) -> None:
    """Nobody waits for a connection that a closed lane does not make."""
    os.kill(server.pid, signal.SIGSTOP)
    async with lane_to(server) as lane:
        call = asyncio.create_task(lane.call("PING"))
        await asyncio.sleep(0)
        await lane.aclose()
        with pytest.raises(CacheClosedError):
            await call


async def test_store_that_takes_no_more(server: ValkeyServer) -> None:
    """A call that leaves in part is in doubt; those behind it go on another connection, unasked."""
    async with lane_to(server) as lane:
        await lane.call("PING")
        os.kill(server.pid, signal.SIGSTOP)
        partly = asyncio.create_task(lane.call("SET", "partly", MORE_THAN_BUFFERS))
        await asyncio.sleep(TIMEOUT_SECONDS / 2)
        behind = asyncio.create_task(lane.call("SET", "behind", "1"))
        with pytest.raises(StoreTimeoutError) as refused:
            await partly
        assert refused.value.applied == "unknown"
        os.kill(server.pid, signal.SIGCONT)
        # On a slow machine it has waited too long by now.
        await asyncio.wait([behind])
        assert behind.exception() is None or isinstance(behind.exception(), StoreTimeoutError)


async def test_refused_password_is_the_error_of_one_call(server: ValkeyServer) -> None:
    """What redis-py takes for the end of a connection, but is a reply, ends it for nobody else."""
    async with lane_to(server) as lane:
        before = await lane.call("CLIENT", "ID")
        refused = asyncio.create_task(lane.call("AUTH", "nobody", "wrong"))
        await asyncio.sleep(0)
        assert await lane.call("CLIENT", "ID") == before
        with pytest.raises(AuthenticationError):
            await refused


async def test_lane_rests_after_a_refusal() -> None:
    """Without calls nobody looks for a store that was not there."""

    class Nowhere(Dialer):
        dialled = 0

        async def dial(self) -> tuple[AbstractConnection, Node]:
            self.dialled += 1
            raise ConnectionRefusedError

    nowhere = Nowhere(read_url("redis://localhost"), 1.0)
    lane = Lane(nowhere, TIMEOUT_SECONDS, Counters())
    for calls in (1, 2):
        with pytest.raises(StoreError):
            await lane.call("PING")
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert nowhere.dialled == calls
    await lane.aclose()


async def test_reply_to_a_cancelled_call_is_dropped(server: ValkeyServer) -> None:
    """A reply that nobody waits for ends nothing, and is given to nobody else."""
    async with lane_to(server) as lane:
        before = await lane.call("CLIENT", "ID")
        os.kill(server.pid, signal.SIGSTOP)
        cancelled = asyncio.create_task(lane.call("ECHO", "to nobody"))
        while not lane._sent:  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(0)
        cancelled.cancel()
        behind = asyncio.create_task(lane.call("CLIENT", "ID"))
        await asyncio.sleep(0)
        os.kill(server.pid, signal.SIGCONT)
        assert await behind == before
