"""What measurements run against: a Valkey of our own, and servers in processes of their own."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from memory_cache_server.embedded import EmbeddedValkey
from perf.tokens import ESTIMATE, Counting, counting

PACKAGES = Path(__file__).parent.parent
END_SECONDS = 15
LINE_BYTES = 64 * 1024
_SETTINGS = re.compile(r"MEMORY_CACHE_|REDIS_URL$|PORT$|LOG_LEVEL$|.*AUTH|LOCUST_")


def environment(
    path: Sequence[Path] = (PACKAGES,), settings: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Return the environment of children: these folders on the path, nobody else's settings."""
    kept = {name: value for name, value in os.environ.items() if not _SETTINGS.match(name)}
    folders = [*map(str, path), kept.get("PYTHONPATH", "")]
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, folders))} | dict(settings)


@contextlib.asynccontextmanager
async def valkey() -> AsyncIterator[str]:
    """Give the URL of a fresh Valkey on a unix socket, keeping nothing; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="memory-cache-perf-") as folder:
        server = EmbeddedValkey(Path(folder), "none")
        await server.start()
        try:
            yield server.url
        finally:
            await asyncio.shield(server.stop())


def stock_redis() -> str | None:
    """Return the program of the machine's Redis, if it has one."""
    return shutil.which("redis-server")


@contextlib.asynccontextmanager
async def redis_server(program: str) -> AsyncIterator[str]:
    """Give the URL of a fresh Redis of the machine on a unix socket, keeping nothing."""
    with tempfile.TemporaryDirectory(prefix="memory-cache-perf-") as folder:
        socket = Path(folder, "redis.sock")
        words = (program, "--port", "0", "--unixsocket", str(socket), "--dir", folder)
        async with child(*words, "--save", "", "--appendonly", "no"):
            async with asyncio.timeout(END_SECONDS):
                while not await asyncio.to_thread(socket.exists):  # noqa: ASYNC110  # it has no event
                    await asyncio.sleep(0.01)
            yield f"unix://{socket}"


@contextlib.asynccontextmanager
async def child(
    *words: str,
    stdin: int | None = None,
    stderr: int | None = None,
    path: Sequence[Path] | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
    line_bytes: int = LINE_BYTES,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """
    Run a program in a process group of its own; the group is ended afterwards.

    Its own group, so that Ctrl-C reaches us alone and all is ended in order. ``line_bytes``: of
    the longest line that is read from it.
    """
    running = await asyncio.create_subprocess_exec(
        *words,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        limit=line_bytes,
        env=environment(path or (PACKAGES,), settings),
        start_new_session=True,
    )
    try:
        yield running
    finally:
        await asyncio.shield(_end(running))


async def _end(running: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            if running.returncode is None or number == signal.SIGKILL:
                os.killpg(running.pid, number)
        try:
            async with asyncio.timeout(END_SECONDS):
                await running.communicate()
        except TimeoutError:
            continue


@contextlib.asynccontextmanager
async def process(*words: str, counts: Counting | None = None) -> AsyncIterator[tuple[int, str]]:
    """Run a Python process that prints where it listens; give its pid and that line."""
    made = counts or Counting()
    path = (*made.path, PACKAGES)
    async with child(sys.executable, *words, path=path, settings=made.settings) as running:
        assert running.stdout is not None, "a pipe"
        line = (await running.stdout.readline()).decode().strip()
        if not line:
            raise RuntimeError(f"python {' '.join(words)} ended before it listened")
        yield running.pid, line


@contextlib.asynccontextmanager
async def memory_cache(
    url: str, workers: int = 1, *, counter: str = ESTIMATE, spare_workers: int = 0
) -> AsyncIterator[tuple[int, str]]:
    """
    Run our server, which counts tokens so; give its pid and address.

    No spare worker is to start amid a measurement that is not about it.
    """
    numbers = ("--workers", str(workers), "--spare-workers", str(spare_workers))
    words = ("serve", "--port", "0", "--redis-url", url, *numbers)
    with counting(counter) as counts:
        async with process("-m", "memory_cache_server", *words, counts=counts) as found:
            yield found


@contextlib.asynccontextmanager
async def whole_document(
    url: str, workers: int = 1, *, counter: str = ESTIMATE
) -> AsyncIterator[tuple[int, str]]:
    """Run the server of the whole-document design, as ours; give its pid and address."""
    words = ("--redis-url", url, "--workers", str(workers))
    with counting(counter) as counts:
        async with process("-m", "perf.baselines.whole_document", *words, counts=counts) as found:
            yield found
