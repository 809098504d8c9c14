"""A lane, in an order of its parts that a network seldom makes."""

import asyncio
from typing import Any, cast

import pytest
from redis.asyncio.connection import AbstractConnection

from memory_cache import StoreError
from memory_cache._redis.connect import Dialer
from memory_cache._redis.lane import Lane, _Call
from memory_cache._redis.url import read_url
from memory_cache._stats import Counters


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
