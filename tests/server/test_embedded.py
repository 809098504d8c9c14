"""The embedded Valkey of one data directory."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from memory_cache_server import embedded, resp
from memory_cache_server.embedded import EmbeddedError, EmbeddedValkey
from memory_cache_server.file_lock import take
from memory_cache_server.settings import Durability
from support.serving import alive, end_valkey

KEY, VALUE = "test:key", b"kept"


@asynccontextmanager
async def running(folder: Path, durability: Durability) -> AsyncIterator[EmbeddedValkey]:
    """An embedded Valkey that is stopped in order at the end, and dead in any case."""
    valkey = EmbeddedValkey(folder, durability)
    try:
        await valkey.start()
        yield valkey
    finally:
        try:
            await valkey.stop()
        finally:
            end_valkey(folder)


def client(valkey: EmbeddedValkey) -> redis.Redis:
    """A client of this Valkey, found as the workers find it."""
    return redis.Redis.from_url(valkey.url)


def orphan(folder: Path, durability: Durability) -> int:
    """Have a process start a Valkey here and end without stopping it; the pid of that Valkey."""
    script = """
import asyncio, os, pathlib, sys
from memory_cache_server.embedded import EmbeddedValkey
valkey = EmbeddedValkey(pathlib.Path(sys.argv[1]), sys.argv[2])
asyncio.run(valkey.start())
print(valkey.pid, flush=True)
os._exit(0)
"""
    words = [sys.executable, "-P", "-c", script, str(folder), durability]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("durability", ["always", "everysec"])
async def test_configuration(tmp_path: Path, durability: Durability) -> None:
    """It evicts nothing, listens on no port, and writes to disk as often as asked."""
    async with running(tmp_path / "d", durability) as valkey:
        with client(valkey) as store:
            found = store.config_get("*")
    assert (found["appendonly"], found["appendfsync"]) == ("yes", durability)
    assert (found["maxmemory-policy"], found["port"], found["save"]) == ("noeviction", "0", "")
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700


async def test_kept(tmp_path: Path) -> None:
    """What was written is there after a stop in order; nothing of the process is left."""
    folder = tmp_path / "a folder, with blanks"
    async with running(folder, "everysec") as valkey:
        pid = valkey.pid
        with client(valkey) as store:
            store.set(KEY, VALUE)
    assert pid is not None
    assert not alive(pid)
    assert not (folder / "valkey.sock").exists()
    async with running(folder, "everysec") as valkey:
        with client(valkey) as store:
            assert store.get(KEY) == VALUE


async def test_long_path(tmp_path: Path) -> None:
    """A folder too long for a socket's path is served and adopted, even without its link."""
    folder = tmp_path / ("long" * 30)
    first = orphan(folder, "everysec")
    async with running(folder, "everysec") as valkey:
        link = Path(valkey.url.removeprefix("unix://")).parent
    assert len(valkey.url) < 110
    assert valkey.pid is None
    assert not alive(first)
    second = orphan(folder, "everysec")
    link.unlink()
    async with running(folder, "everysec") as valkey:
        assert valkey.pid == second


async def test_in_use(tmp_path: Path) -> None:
    """The second who wants the directory is refused, and leaves the first one's Valkey alone."""
    async with running(tmp_path, "everysec") as first:
        second = EmbeddedValkey(tmp_path, "everysec")
        with pytest.raises(EmbeddedError, match=f"in use by .* pid {os.getpid()}"):
            await second.start()
        await second.stop()
        with client(first) as store:
            assert store.ping()


async def test_adopted_and_made_durable(tmp_path: Path) -> None:
    """An orphan that kept nothing on disk is adopted, and all of it is on disk once it is ready."""
    pid = orphan(tmp_path, "none")
    with redis.Redis(unix_socket_path=str(tmp_path / "valkey.sock")) as store:
        store.set(KEY, VALUE)
    async with running(tmp_path, "always") as valkey:
        assert valkey.pid == pid
        os.kill(pid, signal.SIGKILL)
        end = asyncio.create_task(valkey.keep_alive())
        while valkey.pid in {pid, None}:  # noqa: ASYNC110  there is no event: it is about pids
            await asyncio.sleep(0.01)
        end.cancel()
        with client(valkey) as store:
            assert store.get(KEY) == VALUE


async def test_none_does_not_hide_what_was_kept(tmp_path: Path) -> None:
    """Durability none is refused where it would serve an empty store over kept transcripts."""
    async with running(tmp_path, "everysec"):
        pass
    with pytest.raises(EmbeddedError, match="holds transcripts that were kept on disk"):
        async with running(tmp_path, "none"):
            pass


async def test_killed_by_hand(tmp_path: Path) -> None:
    """What a kill -9 leaves behind, its socket and pid files, does not hinder the next start."""
    os.kill(orphan(tmp_path, "everysec"), signal.SIGKILL)
    assert (tmp_path / "valkey.sock").exists()
    async with running(tmp_path, "everysec") as valkey:
        with client(valkey) as store:
            assert store.ping()


async def test_silent_orphan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An orphan that does not answer keeps its data: it is reported, not doubled and not killed."""
    monkeypatch.setattr(embedded, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(resp, "ANSWER_SECONDS", 0.2)
    pid = orphan(tmp_path, "everysec")
    os.kill(pid, signal.SIGSTOP)
    valkey = EmbeddedValkey(tmp_path, "everysec")
    try:
        with pytest.raises(EmbeddedError, match=f"pid {pid} has .* does not answer"):
            await valkey.start()
        await valkey.stop()
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def adopted(folder: Path) -> AsyncIterator[tuple[EmbeddedValkey, int]]:
    """A Valkey that another process has started, adopted; and its pid. It is dead at the end."""
    pid = orphan(folder, "everysec")
    valkey = EmbeddedValkey(folder, "everysec")
    try:
        await valkey.start()
        assert valkey.pid == pid
        yield valkey, pid
    finally:
        end_valkey(folder)


async def test_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adopted Valkey that does not end in order is killed, which is said."""
    monkeypatch.setattr(embedded, "SHUTDOWN_SECONDS", 0.1)
    monkeypatch.setattr(embedded, "SIGNAL_SECONDS", 0.5)
    monkeypatch.setattr(resp, "ANSWER_SECONDS", 0.1)
    async with adopted(tmp_path) as (valkey, pid):
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(EmbeddedError, match=f"Valkey {pid} .* was ended by SIGKILL"):
            await valkey.stop()
        assert not alive(pid)


async def test_gone_before_the_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends right before it would be killed is no error of another kind."""

    async def too_late(_: EmbeddedValkey) -> bool:
        os.kill(pid, signal.SIGKILL)
        while alive(pid) or Path(f"/proc/{pid}").exists():  # noqa: ASYNC110, ASYNC240  # as is
            await asyncio.sleep(0.01)
        return False

    async with adopted(tmp_path) as (valkey, pid):
        monkeypatch.setattr(EmbeddedValkey, "_shut_down", too_late)
        with pytest.raises(EmbeddedError, match=f"Valkey {pid} did not shut down"):
            await valkey.stop()
    lock = take(tmp_path / "lock")
    assert lock is not None, "the directory was let go"
    lock.close()


def damage_manifest(folder: Path) -> None:
    """Overwrite the list of append-only files."""
    (manifest,) = folder.glob("appendonlydir/*.manifest")
    manifest.write_text("no manifest\n")


async def test_damaged(tmp_path: Path) -> None:
    """A Valkey that cannot read its files ends the start, with its own last words."""
    async with running(tmp_path, "everysec"):
        pass
    damage_manifest(tmp_path)
    with pytest.raises(EmbeddedError, match=r"Valkey ended at its start \(1\): .*manifest"):
        async with running(tmp_path, "everysec"):
            pass


async def test_cancelled_start(tmp_path: Path) -> None:
    """A start that was given up leaves no process behind once it is stopped."""
    valkey = EmbeddedValkey(tmp_path, "everysec")
    start = asyncio.create_task(valkey.start())
    while not (tmp_path / "valkey.lock").exists():  # noqa: ASYNC110  the process is that file's
        await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await valkey.stop()
    lock = take(tmp_path / "valkey.lock")
    assert lock is not None
    lock.close()
