"""
What a lane promises, on a real Valkey that stands still, is demoted, or is replaced.

The simulation has no lane. A cache without a near cache has two and asks by nothing else: one
for what is small, connected when it is opened, and one for bulk, connected when it is first used.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from memory_cache import CacheConfig, open_cache
from memory_cache._errors import StoreError, StoreTimeoutError
from memory_cache._ports import Store as StorePort
from memory_cache.testing._place import fresh_key, messages, refused, stored, terms, whole
from memory_cache.testing.faults.proxy import Proxy, Trap
from memory_cache.testing.faults.resp import ask
from memory_cache.testing.faults.store import Store

LaneCheck = Callable[[Store], Awaitable[None]]
"""One promise, as a check of the bus; the store is as before when it ends."""

_TIMEOUT_SECONDS: Final = 0.5
_BULK_SECONDS: Final = 4 * _TIMEOUT_SECONDS
_PATIENCE_SECONDS: Final = 20.0


@asynccontextmanager
async def _worker(port: int) -> AsyncIterator[StorePort]:
    config = CacheConfig(
        store_timeout_seconds=_TIMEOUT_SECONDS, connect_timeout_seconds=60, near_cache_bytes=0
    )
    async with (
        asyncio.timeout(_PATIENCE_SECONDS),
        open_cache(f"redis://127.0.0.1:{port}", config=config) as cache,
    ):
        yield cache._parts.store  # noqa: SLF001  # nothing public gives the store


@asynccontextmanager
async def _proxied(port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.aclose()


async def what_waited_too_long_does_not_leave(store: Store) -> None:
    """A change that waited for a connection beyond its timeout is refused, and is not made."""
    async with _worker(store.port) as worker:
        key = fresh_key()
        await worker.append(key, messages(0, 1), None, terms())
        store.signal(signal.SIGSTOP)
        try:
            edit = worker.rewrite(key, whole(messages(5, 6)), None, terms())
            late = asyncio.create_task(refused(edit, StoreTimeoutError))
            await asyncio.sleep(1.5 * _BULK_SECONDS)
            assert not late.done(), "it did not wait for a connection"
        finally:
            store.signal(signal.SIGCONT)
        assert (await late).applied == "no", "it is said to have left"
        assert await stored(worker, key) == messages(0, 1), "it was made"


async def what_is_overdue_is_given_up(store: Store) -> None:
    """A call that is not answered in time fails, in doubt; its late reply is nobody else's."""
    async with _worker(store.port) as worker:
        key, other = fresh_key(), fresh_key()
        await worker.append(key, messages(0, 1), None, terms())
        store.signal(signal.SIGSTOP)
        try:
            change = worker.append(key, messages(1, 2), None, terms())
            assert (await refused(change, StoreTimeoutError)).applied == "unknown"
            read = asyncio.create_task(worker.tail(other, 1))
            await asyncio.sleep(0)
        finally:
            store.signal(signal.SIGCONT)
        await asyncio.wait([read])
        assert read.exception() is not None or read.result() is None, "another one's reply"
        assert await stored(worker, key) in (messages(0, 1), messages(0, 2))


async def what_had_left_may_have_been_made(store: Store) -> None:
    """A change whose connection ends before its reply is in doubt, and not said to be not made."""
    async with _proxied(store.port) as proxy, _worker(proxy.port) as worker:
        key = fresh_key()
        # The first may find that the store does not know the script.
        await worker.append(key, messages(0, 1), None, terms())
        proxy.trap = Trap(b'{"n":1,', lambda: None)
        change = worker.append(key, messages(1, 2), None, terms())
        assert (await refused(change, StoreError)).applied == "unknown"
        proxy.trap = None
        assert await stored(worker, key) == messages(0, 2)


async def a_demoted_server_is_not_read(store: Store) -> None:
    """Once a change was refused by a replica, nothing is read from it: it answers from the past."""
    async with _worker(store.port) as worker:
        key = fresh_key()
        await worker.append(key, messages(0, 1), None, terms())
        nobody = await _free_port()
        await ask(store.port, ("REPLICAOF", "127.0.0.1", nobody))
        try:
            refusal = await refused(worker.append(key, (), None, terms()), StoreError)
            assert refusal.applied == "no"
            await refused(worker.tail(key, 1), StoreError)
        finally:
            await ask(store.port, ("REPLICAOF", "NO", "ONE"))


async def another_server_is_found(store: Store) -> None:
    """What a new connection finds at the address is where the old ones go, too, once at rest."""
    new = store.folder.parent / "another"
    async with (
        Store.running(new) as another,
        _proxied(store.port) as proxy,
        _worker(proxy.port) as worker,
    ):
        key = fresh_key()
        await worker.append(key, messages(0, 1), None, terms())
        proxy.target = another.port
        await worker.rewrite(fresh_key(), whole(messages(0, 1)), None, terms())
        while await worker.tail(key, 1) is not None:  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(_TIMEOUT_SECONDS)


async def _free_port() -> int:
    """Return a port on which nobody listens any more."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


LANE_CHECKS: tuple[LaneCheck, ...] = (
    what_waited_too_long_does_not_leave,
    what_is_overdue_is_given_up,
    what_had_left_may_have_been_made,
    a_demoted_server_is_not_read,
    another_server_is_found,
)
