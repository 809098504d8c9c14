"""Workers that do not answer, or do not come up: they are killed, and others take their place."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.serving import ServerProcess, alive, run, wait_for, wait_for_end

STALL_SECONDS = 4
LOST = f"gave no sign of life for {STALL_SECONDS} s"

SPINS_AND_HANGS = """
import pathlib, signal, sys, time

def spin(*_):
    while True:
        pass

if "memory_cache_server.worker" in sys.orig_argv:
    signal.signal(signal.SIGUSR1, spin)
    while pathlib.Path({flag!r}).exists():
        time.sleep(0.01)
"""


@pytest.fixture
def hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: while it exists no worker comes up. And SIGUSR1 makes a worker spin for ever."""
    flag = tmp_path / "hangs"
    (tmp_path / "sitecustomize.py").write_text(SPINS_AND_HANGS.format(flag=str(flag)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return flag


def serve(url: str, folder: Path, *words: str) -> ServerProcess:
    """A server that does not wait for long."""
    stall = ("--worker-stall-seconds", str(STALL_SECONDS))
    return ServerProcess("--redis-url", url, *stall, *words, cwd=folder)


@pytest.fixture
def server(valkey_url: str, tmp_path: Path, hangs: Path) -> Iterator[ServerProcess]:
    """A server of two workers that does not wait for long."""
    assert not hangs.exists()
    with serve(valkey_url, tmp_path, "--workers", "2") as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGUSR1], ids=["stopped", "spinning"])
def test_worker_that_does_not_answer(server: ServerProcess, how: signal.Signals) -> None:
    """A worker that stands still, or whose loop is blocked, is killed and replaced; no other is."""
    stuck, other = server.workers()
    os.kill(stuck, how)
    wait_for(lambda: len(server.workers()) == 3, "another worker")
    wait_for_end(stuck)
    assert f"worker {stuck} {LOST}" in server.log()
    assert server.log().count(LOST) == 1
    assert alive(other)
    for _ in range(20):
        assert httpx.get(f"{server.url}/v1/health").is_success
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


@pytest.mark.slow
def test_supervisor_that_stands_still(server: ServerProcess) -> None:
    """Time in which the supervisor does not run is no silence of its workers, as in a suspend."""
    first, second = server.workers()
    server.signal(signal.SIGSTOP)
    os.kill(second, signal.SIGSTOP)
    time.sleep(1.5 * STALL_SECONDS)  # the very thing: longer than a worker may be silent
    server.signal(signal.SIGCONT)
    time.sleep(STALL_SECONDS / 4)  # the supervisor looks around before the worker has woken up
    os.kill(second, signal.SIGCONT)
    os.kill(first, signal.SIGSTOP)
    wait_for(lambda: len(server.workers()) == 3, "another worker")
    # It has judged for as long as it takes to judge: the one that is silent, and no other.
    assert f"worker {first} {LOST}" in server.log()
    assert server.log().count(LOST) == 1
    assert alive(second)


def test_workers_that_never_come_up(valkey_url: str, tmp_path: Path, hangs: Path) -> None:
    """A server whose workers hang at their start gives up, says what may help, and exits 1."""
    hangs.touch()
    words = ("--port", "0", "--redis-url", valkey_url, "--workers", "2")
    ended = run("serve", *words, "--worker-start-seconds", "1", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stdout == ""
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("memory-cache: worker ")
    assert "did not come up in 1 seconds and was killed" in last
    assert "--worker-start-seconds" in last
    assert "Traceback" not in ended.stderr
