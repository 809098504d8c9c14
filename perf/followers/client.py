"""
The followers, in a process of their own: clients over HTTP that come back as browsers do.

Run as a module it follows until each follower was told of so many messages, stays a little for
what comes too much, and writes what it saw as JSON. It prints ``following`` when all follow.
Times are of CLOCK_MONOTONIC, which all processes of a machine share.
"""

import argparse
import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import orjson
import uvloop

CONNECT_AT_ONCE: Final = 25
STAY_SECONDS: Final = 0.5
SILENCE_SECONDS: Final = 15.0
PROBE_SECONDS: Final = 0.01
MESSAGE: Final = b'{"n":%d,"at":%.6f,"role":"user","content":"' + b"x" * 280 + b'"}'

_EVENT = re.compile(rb"id: (\S+)\nevent: (\w+)\ndata: (.*)")
_MESSAGE = re.compile(rb'\{"seq":(\d+),"message":\{"n":(\d+),"at":([0-9.]+),')
_RETRY = re.compile(rb"retry: (\d+)")


class Told(NamedTuple):
    """A message that came."""

    seq: int
    n: int
    at: float
    """When its writer began to append it."""
    came: float


class Follower(asyncio.Protocol):
    """One client: what it was told, and when."""

    def __init__(self, address: tuple[str, int], session: int) -> None:
        """Connect nothing yet."""
        self.session = session
        self.told: list[Told] = []
        self.wrong: list[str] = []
        # Of each connection: when it was asked for, answered, and lost.
        self.connections: list[dict[str, float]] = []
        self.following = asyncio.Event()
        self._address = address
        self._last_id = b""
        self._retry_seconds = 0.0
        self._raw = b""
        self._text = b""
        self._transport: asyncio.Transport | None = None
        self._closed = False

    async def connect(self) -> None:
        """Connect, for the first time or again, until a server answers."""
        loop = asyncio.get_running_loop()
        while not self._closed:
            self.connections.append({"asked": time.monotonic()})
            try:
                await loop.create_connection(lambda: self, *self._address)
            except OSError as error:
                self.connections.pop()
                self.wrong.append(f"refused: {error}")
                await asyncio.sleep(self._retry_seconds)
            else:
                return

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for what comes after the last event."""
        # Not isinstance: the transports of uvloop are like asyncio's, and no children of them.
        self._transport = cast("asyncio.Transport", transport)
        self._raw = self._text = b""
        last = b"Last-Event-ID: %b\r\n" % self._last_id if self._last_id else b""
        path = b"/v1/working-memory/s%d/events" % self.session
        self._transport.write(b"GET %b HTTP/1.1\r\nHost: perf\r\n%b\r\n" % (path, last))

    def data_received(self, data: bytes) -> None:
        """Take in what has come whole."""
        now = time.monotonic()
        self._raw += data
        if "answered" not in self.connections[-1]:
            head, ended, rest = self._raw.partition(b"\r\n\r\n")
            if not ended:
                return
            self.connections[-1]["answered"] = now
            self._raw = rest
            if not head.startswith(b"HTTP/1.1 200 "):
                # A browser would not come back after that.
                self.wrong.append(head.partition(b"\r\n")[0].decode())
        *blocks, self._text = (self._text + self._chunks()).split(b"\n\n")
        for block in blocks:
            self._take(block, now)

    def connection_lost(self, _: Exception | None) -> None:
        """Come back after the time that the server hinted at."""
        self.connections[-1]["lost"] = time.monotonic()
        loop = asyncio.get_running_loop()
        loop.call_later(self._retry_seconds, lambda: loop.create_task(self.connect()))

    def close(self) -> None:
        """Go for good."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def _chunks(self) -> bytes:
        """Return what of the body has come in whole chunks."""
        found, at = [], 0
        while (end := self._raw.find(b"\r\n", at)) >= 0:
            after = end + 2 + int(self._raw[at:end], 16)
            if len(self._raw) < after + 2:
                break
            found.append(self._raw[end + 2 : after])
            at = after + 2
        self._raw = self._raw[at:]
        return b"".join(found)

    def _take(self, block: bytes, now: float) -> None:
        event = _EVENT.fullmatch(block)
        if event is not None:
            self._last_id = event[1]
            if message := _MESSAGE.match(event[3]):
                told = Told(int(message[1]), int(message[2]), float(message[3]), now)
                self.told.append(told)
                return
            if event[2] == b"following" and not self.following.is_set():
                self.following.set()
                return
        elif hint := _RETRY.fullmatch(block):
            self._retry_seconds = int(hint[1]) / 1000
            return
        elif block == b":":
            return
        self.wrong.append(block.decode())

    def document(self) -> dict[str, Any]:
        """Return what it saw, as JSON."""
        return {
            "session": self.session,
            "told": [tuple(told) for told in self.told],
            "wrong": self.wrong,
            "connections": self.connections,
        }


async def follow(address: tuple[str, int], count: int, sessions: int, total: int) -> dict[str, Any]:
    """Follow until each was told of ``total`` messages, or nothing comes any more."""
    followers = [Follower(address, at % sessions) for at in range(count)]
    for at in range(0, count, CONNECT_AT_ONCE):
        some = followers[at : at + CONNECT_AT_ONCE]
        await asyncio.gather(*(follower.connect() for follower in some))
        await asyncio.gather(*(follower.following.wait() for follower in some))
    late: list[tuple[float, float]] = []
    probing = asyncio.create_task(_probe(late))
    print("following", flush=True)
    came, since = -1, time.monotonic()
    while any(len(follower.told) < total for follower in followers):
        await asyncio.sleep(0.1)
        now_came = sum(len(follower.told) for follower in followers)
        if now_came != came or not came:
            came, since = now_came, time.monotonic()
        elif time.monotonic() - since > SILENCE_SECONDS:
            break
    await asyncio.sleep(STAY_SECONDS)
    probing.cancel()
    for follower in followers:
        follower.close()
    return {
        "followers": [follower.document() for follower in followers],
        "late": late,
        "cpu_seconds": time.process_time(),
    }


async def _probe(late: list[tuple[float, float]]) -> None:
    """Note how late this process itself is, again and again: what it adds to all it measures."""
    while True:
        due = time.monotonic() + PROBE_SECONDS
        await asyncio.sleep(PROBE_SECONDS)
        late.append((due, time.monotonic() - due))


def main(words: Sequence[str] | None = None) -> None:
    """Follow, and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    for name in ("port", "followers", "sessions", "messages"):
        parser.add_argument(name, type=int)
    parser.add_argument("out", type=Path)
    given = parser.parse_args(words)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        work = follow((given.host, given.port), given.followers, given.sessions, given.messages)
        given.out.write_bytes(orjson.dumps(runner.run(work)))


if __name__ == "__main__":
    main()
