"""Signals to processes that may have ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from memory_cache_server.process_handle import ProcessHandle


@pytest.fixture(params=["handle", "id"], autouse=True)
def _system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system with handles of processes, and one that has only their ids."""
    if request.param == "id":
        monkeypatch.setattr(sys, "platform", "other")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for its end."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_living(process: subprocess.Popen[bytes]) -> None:
    """A process that lives gets the signal."""
    handle = ProcessHandle(process.pid)
    handle.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    handle.close()


def test_ended(process: subprocess.Popen[bytes]) -> None:
    """To a process that has ended, and is buried, nothing is sent, and it is no error."""
    handle = ProcessHandle(process.pid)
    process.kill()
    process.wait()
    handle.send(signal.SIGTERM)
    handle.close()
    handle.close()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system has no handles")
def test_never_there(process: subprocess.Popen[bytes], request: pytest.FixtureRequest) -> None:
    """A process that is not there cannot be held."""
    process.kill()
    process.wait()
    if "handle" in request.node.name:
        with pytest.raises(ProcessLookupError):
            ProcessHandle(process.pid)
