"""
The parent process: it listens, and keeps the store and the workers alive.

It answers no request itself. All workers accept on its socket, so one of them may die and be
replaced without the address being lost.
"""

import asyncio
import logging
import signal
import socket

from memory_cache_server.backoff import Backoff
from memory_cache_server.embedded import EmbeddedError, EmbeddedValkey
from memory_cache_server.settings import Settings
from memory_cache_server.worker_process import ServeError, Spares, Worker

BACKLOG = 2048
FAILED_STARTS = 8
# What a worker may take to close its store connections, once its requests are done.
CLOSE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Supervisor:
    """A server: `run` it once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._valkey: EmbeddedValkey | None = None
        self._valkey_kept: asyncio.Task[None] | None = None
        self._workers: set[Worker] = set()
        self._spares = Spares(settings.spare_workers)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """
        Serve until SIGTERM or SIGINT, then finish in order.

        Prints the URL on standard output when all workers are ready. Raises `ServeError`, or
        `EmbeddedError` if the store cannot be had or would not end in order.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        with listen(self._settings.host, self._settings.port) as listener:
            serving = asyncio.create_task(self._serve(listener))
            stopping = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                serving.cancel()
                listener.close()
                await asyncio.wait((serving,))
                failed = None if serving.cancelled() else serving.exception()
                try:
                    await self._finish()
                except (ServeError, EmbeddedError) as error:
                    if failed is None:
                        raise
                    _log.error("%s", error)
        if failed is not None:
            raise failed

    def _interrupted(self) -> None:
        (self._hurry if self._stop.is_set() else self._stop).set()

    async def _serve(self, listener: socket.socket) -> None:
        settings = await self._store()
        workers = await asyncio.gather(
            *(self._start(settings, listener) for _ in range(settings.workers))
        )
        print(url_of(listener), flush=True)  # noqa: T201  the one line on standard output
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_store())
                group.create_task(self._spares.keep(listener))
                for worker in workers:
                    group.create_task(self._keep(worker, settings, listener))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _store(self) -> Settings:
        """Have a store; the settings that lead the workers to it."""
        if self._settings.redis_url is not None:
            return self._settings
        self._valkey = EmbeddedValkey(self._settings.data_dir, self._settings.durability)
        await self._valkey.start()
        self._valkey_kept = asyncio.create_task(self._valkey.keep_alive())
        return self._settings.model_copy(update={"redis_url": self._valkey.url})

    async def _watch_store(self) -> None:
        """Notice the end of what keeps the store alive, which outlasts this."""
        if self._valkey_kept is not None:
            await asyncio.shield(self._valkey_kept)

    async def _start(self, settings: Settings, listener: socket.socket) -> Worker:
        try:
            worker = self._spares.take() or await Worker.spawn(listener)
        except OSError as error:
            raise ServeError(f"no worker can be started: {error.strerror}") from error
        self._workers.add(worker)
        try:
            await worker.serve(settings)
        except ServeError:
            self._workers.discard(worker)
            raise
        _log.info("worker %d is ready", worker.pid)
        return worker

    async def _keep(
        self, worker: Worker | None, settings: Settings, listener: socket.socket
    ) -> None:
        """Put another one in its place whenever it ends; `ServeError` if nobody serves any more."""
        backoff = Backoff()
        while True:
            lived = 0.0
            if worker is not None:
                code = await worker.lived(settings.worker_stall_seconds)
                lived = worker.lived_seconds()
                self._workers.discard(worker)
                _log.error("worker %d ended (%d); another one takes its place", worker.pid, code)
            await asyncio.sleep(backoff.delay(lived))
            try:
                worker = await self._start(settings, listener)
            except ServeError as error:
                worker = None
                _log.error("%s", error)
                if backoff.failures >= FAILED_STARTS and not self._anyone_serves():
                    raise

    def _anyone_serves(self) -> bool:
        return any(worker.serving for worker in self._workers)

    async def _finish(self) -> None:
        """End the workers, then the store, which is kept alive for them until then."""
        await self._spares.end()
        finished = await self._finish_workers()
        if self._valkey_kept is not None:
            self._valkey_kept.cancel()
            await asyncio.wait((self._valkey_kept,))
        if self._valkey is not None:
            await self._valkey.stop()
        if not finished:
            raise ServeError("workers did not finish in time and were killed")

    async def _finish_workers(self) -> bool:
        workers = tuple(self._workers)
        if not workers:
            return True
        for worker in workers:
            if worker.serving:
                worker.finish()
            else:
                worker.kill()  # it has nothing to finish, and may never come up
        ended = asyncio.gather(*(worker.ended() for worker in workers))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait(
            (ended, hurry),
            timeout=self._settings.grace_seconds + CLOSE_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        hurry.cancel()
        finished = ended.done()
        if not finished:
            for worker in workers:
                worker.kill()
        await ended
        return finished


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address, port 0 for any free one; `ServeError` if it is not to be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise ServeError(f"cannot listen on {host} port {port}: {error.strerror}") from error


def url_of(listener: socket.socket) -> str:
    """Where a listening socket is reached over HTTP."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
