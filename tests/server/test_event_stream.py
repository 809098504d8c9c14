"""How events are sent: joined where more are at hand, and never more than the client takes."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

import pytest
from starlette.types import Message

from memory_cache import SessionEvent, SessionEventKind
from memory_cache_server import event_stream
from memory_cache_server.event_stream import FINISHING, EventStream
from memory_cache_server.turns import Turns
from unit.inside import some_place

WAIT_SECONDS = 10.0


def event(seq: int, *, more: bool, text: bytes = b"{}") -> SessionEvent:
    """An event of a message."""
    return SessionEvent(SessionEventKind.MESSAGE, some_place(), 0, seq, text, more=more)


class Client:
    """An ASGI server's end of one request: takes parts while it may."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.taking = asyncio.Event()
        self.taking.set()
        self._taken = asyncio.Condition()
        self.finishing = asyncio.get_running_loop().create_future()

    async def receive(self) -> Message:
        """Wait for the client to go, which it does not."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError("it was told to go")

    async def send(self, part: Message) -> None:
        """Take a part; wait while the client takes none."""
        async with self._taken:
            self.parts.append(part.get("body", b""))
            self._taken.notify_all()
        await self.taking.wait()

    async def has(self, fact: Callable[[list[bytes]], bool]) -> None:
        """Wait until a fact holds of the parts taken."""
        async with self._taken:
            await self._taken.wait_for(lambda: fact(self.parts))

    async def answered(self, events: AsyncGenerator[SessionEvent], slow_seconds: float) -> None:
        """Run an answer to its end."""
        stream = EventStream(events, {}, slow_seconds, Turns())
        async with asyncio.timeout(WAIT_SECONDS):
            await stream(
                {"type": "http", "state": {FINISHING: self.finishing}}, self.receive, self.send
            )


async def test_joined() -> None:
    """What is at hand leaves in one part, up to a size; what is not is not waited for."""
    client = Client()

    async def events() -> AsyncGenerator[SessionEvent]:
        for seq in range(3):
            yield event(seq, more=seq < 2)
        for seq in range(3, 7):
            yield event(seq, more=True, text=b"x" * 40_000)
        yield event(7, more=False)
        client.finishing.set_result(None)

    await client.answered(events(), WAIT_SECONDS)
    bodies = client.parts[2:-1]  # between the head with its hint and the end
    assert [body.count(b"event: ") for body in bodies] == [3, 2, 2, 1]
    assert b"".join(bodies).count(b"\n\n") == 8


async def test_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing happens comments are sent."""
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.02)
    client = Client()

    async def events() -> AsyncGenerator[SessionEvent]:
        async with asyncio.timeout(WAIT_SECONDS):
            await client.has(lambda parts: parts.count(b":\n\n") >= 3)
        client.finishing.set_result(None)
        yield event(0, more=False)

    await client.answered(events(), WAIT_SECONDS)
    assert client.parts.count(b":\n\n") >= 3


@pytest.mark.parametrize("stuck_in", ["message", "comment"])
async def test_slow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stuck_in: str
) -> None:
    """Who takes nothing for the time given is cut off, not sooner, and sent nothing meanwhile."""
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.05 if stuck_in == "comment" else 60)
    caplog.set_level("INFO")
    client = Client()
    stopped = 0.0

    async def events() -> AsyncGenerator[SessionEvent]:
        nonlocal stopped
        yield event(0, more=False)
        await asyncio.sleep(0.25)  # longer than it may take: to wait for an event is not slow
        stopped = time.monotonic()
        client.taking.clear()
        if stuck_in == "comment":
            await asyncio.get_running_loop().create_future()
        yield event(1, more=False)
        yield event(2, more=False)

    await client.answered(events(), 0.2)
    assert 0.2 <= time.monotonic() - stopped < WAIT_SECONDS / 2
    assert "too slow" in caplog.text
    sent = b"".join(client.parts)
    assert sent.count(b"event: ") == (2 if stuck_in == "message" else 1)
