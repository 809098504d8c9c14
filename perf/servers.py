"""A Valkey of our own for a measurement: on a unix socket, keeping nothing."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from memory_cache_server.embedded import EmbeddedValkey


@contextlib.asynccontextmanager
async def valkey() -> AsyncIterator[str]:
    """Give the URL of a fresh Valkey; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="memory-cache-perf-") as folder:
        server = EmbeddedValkey(Path(folder), "none")
        await server.start()
        try:
            yield server.url
        finally:
            await asyncio.shield(server.stop())
