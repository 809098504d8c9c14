"""
A lane: one connection to the store, shared by all callers of a process.

Commands that are ready in one turn of the event loop leave in one write, and replies come
back in order. So a caller that is cancelled leaves no half-read connection behind: its
reply is read and dropped. A lane that fails tells each caller whether its command had left.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Final

import redis.exceptions as theirs
from redis.asyncio.connection import AbstractConnection

from memory_cache._background import crashed
from memory_cache._ending import end
from memory_cache._errors import CacheClosedError, MemoryCacheError
from memory_cache._redis.connect import Dialer, Node
from memory_cache._redis.errors import ENDS, lost, slow, talking, translated
from memory_cache._redis.packing import pack
from memory_cache._redis.script import ALL, Script
from memory_cache._stats import Counters

Argument = bytes | str | int | float
_BACKOFF_SECONDS: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
_MAX_BATCH: Final = 512


class _Call:
    """A command on its way, and the caller's future."""

    __slots__ = ("command", "future", "since")

    def __init__(self, command: tuple[Argument, ...], now: float) -> None:
        self.command = command
        self.since = now
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class Lane:
    """Runs commands over one connection, which it makes, watches and makes again."""

    def __init__(self, dialer: Dialer, timeout: float, counters: Counters) -> None:
        """Nothing is connected before the first call. ``timeout``: seconds for one reply."""
        self._dialer = dialer
        self._counters = counters
        self._timeout = timeout
        self._ready: deque[_Call] = deque()
        self._sent: deque[_Call] = deque()
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._closed = False
        self._ending = False
        self.node: Node | None = None

    async def call(self, *command: Argument, first: bool = False) -> Any:  # noqa: ANN401  # replies have no type
        """
        Return the reply to one command; ``first`` puts it at the head of the next batch.

        Cancelled: the command may be carried out all the same.

        Raises:
            redis.ResponseError: the server's own word, untranslated.
            StoreError: no reply; ``applied`` is ``unknown`` if the command had left.
            IncompatibleStoreError: the server that answers now is too old.
            CacheClosedError: the lane was closed.
        """
        if self._closed:
            raise CacheClosedError
        loop = asyncio.get_running_loop()
        call = _Call(command, loop.time())
        if first:
            self._ready.appendleft(call)
        else:
            self._ready.append(call)
        self._wake.set()
        if self._runner is None or self._runner.done():
            self._runner = loop.create_task(self._run(), name="memory-cache-lane")
            self._runner.add_done_callback(self._over)
        return await call.future

    async def run_script(
        self, script: Script, keys: list[str], *args: Argument, first: bool = False
    ) -> Any:  # noqa: ANN401  # as call
        """Run a script by its digest, or its text where the server lost it; raises as ``call``."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *args, first=first)
        except theirs.NoScriptError:
            return await self.call("EVAL", script.text, len(keys), *keys, *args, first=first)

    async def aclose(self) -> None:
        """Close the connection; calls under way fail."""
        self._closed = True
        if self._runner is not None:
            await end([self._runner])
        self._fail_all(CacheClosedError())

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._wake.wait()
            try:
                connection, self.node = await self._dialer.dial()
            except Exception as error:  # noqa: BLE001  # whatever it is, callers must not wait for it
                self._refuse_ready(error)
                await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                failures += 1
                continue
            failures = 0
            # Now: it forgets its own on many a way to its end. It has no public name; without it
            # a store that hangs keeps the socket for as long as the system lets it.
            writer: asyncio.StreamWriter | None = getattr(connection, "_writer", None)
            try:
                await self._serve(connection)
            finally:
                self.node = None
                await self._let_go(connection, writer)
                self._fail_all(lost("unknown"))

    def _over(self, runner: "asyncio.Task[None]") -> None:
        """Whatever a runner ended by, such as the end of its event loop, nobody waits for it."""
        if self._closed:
            return
        if not runner.cancelled():
            crash = runner.exception()
            assert crash is not None, "it runs for ever"
            # The next call begins another.
            crashed(self._counters, "lane", crash)
        self._fail_all(lost("unknown"))
        self._refuse_ready(lost("no"))

    async def _let_go(
        self, connection: AbstractConnection, writer: asyncio.StreamWriter | None
    ) -> None:
        """At the end what is written may still leave; the socket is let go for certain."""
        try:
            with suppress(theirs.RedisError, OSError):
                await connection.disconnect(nowait=not self._closed)
        finally:
            # A store that hangs takes nothing, and what waits for it would keep the socket.
            if writer is not None:
                writer.transport.abort()

    async def _serve(self, connection: AbstractConnection) -> None:
        """Write and read until one of them ends."""
        self._ending = False
        for script in ALL:
            call = _Call(("SCRIPT", "LOAD", script.text), asyncio.get_running_loop().time())
            self._ready.appendleft(call)
            call.future.add_done_callback(lambda done: done.cancelled() or done.exception())
        tasks = [
            asyncio.create_task(part(connection)) for part in (self._write, self._read, self._watch)
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for error in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(error, Exception) and not isinstance(error, ENDS):
                    crashed(self._counters, "lane", error)

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ready and not self._ending:
                batch = [
                    call
                    for _ in range(min(_MAX_BATCH, len(self._ready)))
                    if self._is_wanted(call := self._ready.popleft())
                ]
                if not batch:
                    # Nothing at all must not be written: asyncio (3.12, 3.13) never gets rid of it.
                    continue
                # From here on they count as sent: a part of the batch may have left.
                self._sent.extend(batch)
                # redis-py packs in Python, at several times the cost.
                packed = b"".join([pack(call.command) for call in batch])
                with talking():
                    await connection.send_packed_command(packed, check_health=False)

    def _is_wanted(self, call: _Call) -> bool:
        """Whether a call may still leave: nobody may send a change later than its caller waits."""
        if asyncio.get_running_loop().time() - call.since > self._timeout:
            _fail(call, slow("no"))
        return not call.future.done()

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            try:
                # Whether an error ends the connection is said here: some of theirs are replies.
                reply = await connection.read_response(
                    disable_decoding=True, timeout=None, disconnect_on_error=False
                )
            except theirs.ConnectionError as error:
                if not isinstance(error, theirs.BusyLoadingError | theirs.AuthenticationError):
                    raise
                reply = error
            except theirs.ResponseError as error:
                reply = error
                self._ending |= isinstance(error, theirs.ReadOnlyError)
            except ENDS:
                raise
            except Exception as error:  # as `talking`, which costs more for each reply
                raise theirs.ConnectionError(repr(error)) from error
            if not self._sent:
                # Late: it was given up, and the connection with it. Or nobody asked for it.
                return
            _settle(self._sent.popleft(), reply)
            if self._ending and not self._sent:
                # A replica answers reads, and from the past: dial again, which refuses one.
                return

    async def _watch(self, _: AbstractConnection) -> None:
        """
        End the connection when a reply is overdue: every later one would be, too.

        And when a later one of this process has found another server at the address.
        """
        loop = asyncio.get_running_loop()
        while not self._sent or loop.time() - self._sent[0].since < self._timeout:
            if not self._sent and self.node != self._dialer.latest:
                break
            await asyncio.sleep(self._timeout / 8)
        # Nothing more may leave: it would be given the late reply to one of these.
        self._ending = True
        while self._sent:
            _fail(self._sent.popleft(), slow("unknown"))

    def _refuse_ready(self, error: Exception) -> None:
        ours = error if isinstance(error, MemoryCacheError) else translated(error)
        if ours is not error:
            ours.__cause__ = error
        self._wake.clear()
        while self._ready:
            _fail(self._ready.popleft(), ours)

    def _fail_all(self, error: Exception) -> None:
        while self._sent:
            _fail(self._sent.popleft(), error)
        if self._ready:
            self._wake.set()
        if self._closed:
            while self._ready:
                _fail(self._ready.popleft(), error)


def _settle(call: _Call, reply: object) -> None:
    if isinstance(reply, Exception):
        _fail(call, reply)
    elif not call.future.done():
        call.future.set_result(reply)


def _fail(call: _Call, error: Exception) -> None:
    if not call.future.done():
        call.future.set_exception(error)
