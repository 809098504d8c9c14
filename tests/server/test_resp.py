"""The commands that the embedded Valkey is managed with, where the connection breaks."""

import asyncio
from pathlib import Path

import pytest

from memory_cache_server.resp import RespConnection
from support.valkey import ValkeyServer


async def test_connection_that_was_cut() -> None:
    """A command on a connection that the server has cut is an OSError, whenever it is sent."""
    with ValkeyServer() as server:
        connection = await RespConnection.open(Path(server.socket_path))
        assert await connection.command("PING") == b"PONG"
        server.kill()
        await connection.closed()
    # The first may find the connection just closing, and closes it; the second finds it closed.
    for _ in range(2):
        with pytest.raises((OSError, EOFError)):
            await connection.command("PING", "x" * 100_000)
        connection.close()
        await asyncio.sleep(0)
