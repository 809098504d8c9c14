"""A disk that is soon full: a file system in memory, where the machine lets us mount one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from memory_cache.testing.faults.ground import SkippedError

_SIZE: Final = "192m"


@contextlib.asynccontextmanager
async def small_disk(path: Path) -> AsyncIterator[Path]:
    """
    Mount one at a new folder; it is gone after.

    Raises:
        SkippedError: the machine does not allow it.
    """
    await asyncio.to_thread(path.mkdir)
    if not await _run("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(path)):
        raise SkippedError("a small disk needs root, and the right to mount")
    try:
        yield path
    finally:
        await _run("umount", "-l", str(path))


async def _run(*command: str) -> bool:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    return await process.wait() == 0
