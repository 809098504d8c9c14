"""The bus on Redis: one subscription, one channel per hot session, and the fence."""

import asyncio
import logging
import secrets
from itertools import groupby
from typing import Any, Final, NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoPermissionError

from memory_cache._errors import StoreError
from memory_cache._ports import BusHandler, FenceReply
from memory_cache._redis.connect import Dialer, Node
from memory_cache._redis.errors import (
    ENDS,
    RefusedError,
    not_permitted,
    talking,
    translated,
    translating,
)
from memory_cache._redis.keys import PUBLISH, Keys
from memory_cache._redis.lane import Lane
from memory_cache._redis.permissions import refusal
from memory_cache._redis.script import FENCE
from memory_cache._types import SessionKey

_log = logging.getLogger("memory_cache")

_BACKOFF_SECONDS: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
_REFUSED_SECONDS: Final = 5.0
"""The longest pause where the user is refused, which a person must mend; a try is a connection."""
_SETTLED_SECONDS: Final = 1.0
"""A subscription that lasted so long is no reason to wait before the next one."""
_SLICE: Final = 256
"""Channels in one SUBSCRIBE."""


def _pause(failures: int, *, refused: bool) -> float:
    """Return the seconds to wait before another subscription is tried."""
    if refused:
        return min(_REFUSED_SECONDS, 0.1 * 2.0 ** min(failures, 10))
    return _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]


class RedisBus:
    """
    Implements the ``Bus`` port over one subscription and the lane that writes take.

    redis-py's PubSub is not used: it reconnects and subscribes again without telling.
    """

    def __init__(self, dialer: Dialer, lane: Lane, keys: Keys) -> None:
        """Nothing is connected before ``run``."""
        self._dialer = dialer
        self._lane = lane
        self._keys = keys
        self._fence_channel = keys.fence_channel(secrets.token_hex(8))
        self._live: _Subscription | None = None
        self.epoch: str | None = None
        """Of the store, before anything is read; None: whatever the first fence finds."""

    async def check(self) -> None:
        """
        Subscribe once, as ``run`` will.

        Raises:
            redis.RedisError, OSError, TimeoutError: it is refused, or there is no connection.
        """
        channels = self._fence_channel, self._keys.probe_channel
        connection, _ = await self._dialer.dial()
        try:
            for verb in ("SUBSCRIBE", "UNSUBSCRIBE"):
                await connection.send_command(verb, *channels)
                for _ in channels:
                    await connection.read_response(disable_decoding=True)
        except NoPermissionError as error:
            raise refusal(not_permitted(str(error)), self._keys) from error
        finally:
            await connection.disconnect(nowait=True)

    async def run(self, handler: BusHandler) -> None:
        """Connect, tell, reconnect; see the port."""
        failures, told = 0, ""
        while True:
            end = await self._generation(handler)
            if end.seconds > _SETTLED_SECONDS and not end.refused:
                failures, told = 0, ""
            else:
                failures += 1  # the next one may end as soon
            # Each reason is said once. That there is no store is said by the end before it.
            is_news = end.reason != told and (end.refused or end.seconds > 0)
            _log.log(
                logging.WARNING if is_news else logging.DEBUG,
                "bus: the subscription ended (%s)",
                end.reason,
            )
            told = end.reason if is_news else told
            await asyncio.sleep(_pause(failures, refused=end.refused))

    async def _generation(self, handler: BusHandler) -> "_End":
        """Connect, and be subscribed until that ends."""
        try:
            connection, node = await self._dialer.dial()
        except Exception as error:  # noqa: BLE001  # whatever it is, there is no subscription
            ours = translated(error)
            return _End(str(ours), isinstance(ours, RefusedError), 0.0)
        loop = asyncio.get_running_loop()
        began = loop.time()
        live = self._live = _Subscription(
            connection, node, self._keys, handler, self._fence_channel
        )
        try:
            reason = await live.serve()
        finally:
            self._live = None
            await connection.disconnect(nowait=True)
        if live.refused is not None:
            reason = live.refused.reason
        handler.lost(reason)
        return _End(reason, live.refused is not None, loop.time() - began)

    def subscribe(self, key: SessionKey) -> None:
        """Send a SUBSCRIBE; see the port."""
        if self._live is not None:
            self._live.subscribe(key)

    def unsubscribe(self, key: SessionKey) -> None:
        """Send an UNSUBSCRIBE; see the port."""
        if self._live is not None:
            self._live.unsubscribe(key)

    def drop(self, reason: str) -> None:
        """End the generation; see the port."""
        if self._live is not None:
            self._live.end(reason)

    async def fence(self, nonce: str) -> None:
        """Publish a nonce to ourselves through the write path; see the port."""
        live = self._live
        if live is None:
            raise StoreError("there is no subscription")
        try:
            with translating(applied="no"):
                receivers, epoch, replid = await self._lane.run_script(
                    FENCE,
                    [self._keys.epoch],
                    PUBLISH,
                    self._fence_channel,
                    nonce,
                    secrets.token_hex(8),
                    first=True,
                )
        except RefusedError as error:
            live.refused = refusal(error.reason, self._keys)
            raise live.refused from error
        reply = FenceReply(receivers, epoch.decode(), replid.decode())
        # First: what is learnt from the epoch is learnt once, and by a generation that goes on.
        if live is not self._live or live.ended:
            raise StoreError("the subscription ended")
        doubt = live.doubt(reply, self._lane.node) or self._flushed(reply.epoch)
        if doubt is not None:
            # At once: another fence may be answered before anybody hears of this error.
            live.end(doubt)
            raise StoreError(doubt)

    def _flushed(self, epoch: str) -> str | None:
        # Known from one generation to the next: a snapshot may be taken before the first fence.
        known, self.epoch = self.epoch, epoch
        return None if known in {None, epoch} else "the store was flushed"


class _End(NamedTuple):
    """
    How a generation ended.

    ``refused``: the store does not permit it. ``seconds``: how long it lasted; 0: none came about.
    """

    reason: str
    refused: bool
    seconds: float


class _Subscription:
    """One generation: a connection on which channels are opened and closed."""

    def __init__(
        self,
        connection: AbstractConnection,
        node: Node,
        keys: Keys,
        handler: BusHandler,
        fence_channel: str,
    ) -> None:
        self._connection = connection
        self._node = node
        self._keys = keys
        self._handler = handler
        self._fence_channel = fence_channel
        self._sessions: dict[str, SessionKey] = {}
        # SUBSCRIBEs sent and not yet confirmed: a channel is open on the last one (rule 2).
        self._unconfirmed: dict[str, int] = {}
        self._outgoing: list[tuple[str, str]] = []
        self._wake = asyncio.Event()
        self.refused: RefusedError | None = None
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def subscribe(self, key: SessionKey) -> None:
        channel = self._keys.channel(key)
        self._sessions[channel] = key
        self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
        self._send("SUBSCRIBE", channel)

    def unsubscribe(self, key: SessionKey) -> None:
        channel = self._keys.channel(key)
        if self._sessions.pop(channel, None) is not None:
            self._send("UNSUBSCRIBE", channel)

    @property
    def ended(self) -> bool:
        return self._ended.done()

    def end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)

    def doubt(self, reply: FenceReply, writer: Node | None) -> str | None:
        """Say what is wrong with the node that answered a fence; None: nothing (rule 4)."""
        if reply.receivers < 1:
            return "nobody received the fence"
        if writer is None or writer.run_id != self._node.run_id:
            return "writes go to another process of the store"
        if reply.replid != self._node.replid:
            return "the store's replication id changed"
        return None

    async def serve(self) -> str:
        """
        Read and write until the connection ends or is ended; return why.

        Raises:
            Exception: what is heard could not be handled, which is a bug of ours.
        """
        self._send("SUBSCRIBE", self._fence_channel)
        tasks = [asyncio.create_task(part()) for part in (self._read, self._write)]
        try:
            waited: list[asyncio.Future[Any]] = [*tasks, self._ended]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            failed = next((task for task in tasks if task.done()), None)
            error = None if failed is None else failed.exception()
            if error is not None:
                if not isinstance(error, ENDS):
                    raise error
                self.end(f"{error!r}")
            return self._ended.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _send(self, verb: str, channel: str) -> None:
        self._outgoing.append((verb, channel))
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            outgoing, self._outgoing = self._outgoing, []
            for verb, group in groupby(outgoing, key=lambda sent: sent[0]):
                channels = [channel for _, channel in group]
                for at in range(0, len(channels), _SLICE):
                    with talking():
                        await self._connection.send_command(
                            verb, *channels[at : at + _SLICE], check_health=False
                        )

    async def _read(self) -> None:
        # One task hands over messages and nonces in the order of the stream, and never waits
        # in between: the lease proves nothing otherwise.
        while True:
            try:
                reply = await self._connection.read_response(disable_decoding=True, timeout=None)
            except NoPermissionError as error:
                self.refused = refusal(not_permitted(str(error)), self._keys)
                raise
            except ENDS:
                raise
            except Exception as error:  # as `talking`, which costs more for each message
                raise ConnectionError(repr(error)) from error
            self._hear(reply)

    def _hear(self, reply: list[Any]) -> None:
        kind, channel, payload = reply[0], reply[1].decode(), reply[2]
        if channel == self._fence_channel:
            if kind == b"subscribe":
                self._handler.connected()
            elif payload.isascii():
                self._handler.nonce(payload.decode())
            else:
                # Nobody but us should speak here. What is wrong with this channel is wrong with
                # the whole subscription, so all that is held is in doubt.
                self.end("what came as a fence is none")
            return
        key = self._sessions.get(channel)
        if kind == b"subscribe":
            self._unconfirmed[channel] -= 1
            if not self._unconfirmed[channel]:
                del self._unconfirmed[channel]
                if key is not None:
                    self._handler.opened(key)
        elif kind == b"message" and key is not None:
            self._handler.message(key, payload)
