"""The server ``memory-cache serve`` with its own Valkey, as a program and by HTTP alone."""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Final

import orjson

from memory_cache.testing.faults.worker import Json

_COMMAND: Final = (sys.executable, "-P", "-m", "memory_cache_server", "serve", "--port", "0")
_NEEDED: Final = ("memory_cache_server", "fastapi", "pydantic_settings", "uvicorn")
_START_SECONDS: Final = 30.0
_ANSWER_SECONDS: Final = 15.0
_OURS: Final = ("MEMORY_CACHE_", "REDIS_URL", "PORT", "LOG_LEVEL", "AUTH")


def can_serve() -> bool:
    """Whether the extra ``server`` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDED)


class Served:
    """One server on a data directory; its Valkey may outlive it."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        """Hold a process; see ``start``."""
        self._process = process
        self._folder = folder
        self._port = 0

    @classmethod
    async def start(cls, folder: Path) -> "Served":
        """Start one; ``ready`` tells whether it serves."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_OURS)
        }
        with (folder.parent / f"{folder.name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(*_COMMAND, "--data-dir", str(folder), "--durability", "everysec"),
                cwd=folder.parent,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        return cls(process, folder)

    async def ready(self) -> bool:
        """
        Wait until it serves; False: it ended.

        Raises:
            TimeoutError: it does neither.
        """
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _START_SECONDS)
        if not line:
            return False
        self._port = int(line.decode().rpartition(":")[2])
        return True

    async def kill(self) -> None:
        """End the process that holds all together, and no other, by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def ended(self) -> int:
        """Ask it to end, and return its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._process.wait(), _START_SECONDS)

    async def append(self, session: str, message: Json, operation_id: str) -> tuple[int, Json]:
        """
        Append a message, and return status and answer.

        Raises:
            OSError, TimeoutError: there is no answer.
        """
        namespace, user_id, session_id = session.split("/")
        body = orjson.dumps({"messages": [message]})
        head = (
            f"POST /v1/working-memory/{session_id}/messages"
            f"?namespace={namespace}&user_id={user_id} HTTP/1.1\r\n"
            "host: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\n"
            f"idempotency-key: {operation_id}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                writer.write(head.encode() + body)
                status, _, rest = (await reader.read(-1)).partition(b"\r\n")
            finally:
                writer.transport.abort()
        if not rest:
            raise ConnectionResetError
        return int(status.split()[1]), orjson.loads(rest.partition(b"\r\n\r\n")[2])


def end_store(folder: Path) -> None:
    """End the Valkey of a data directory, should one have been left there."""
    with contextlib.suppress(OSError, ValueError), (folder / "valkey.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # It lives, for it holds its lock. A file alone may name what is another process now.
            os.kill(int((folder / "valkey.pid").read_text()), signal.SIGKILL)
