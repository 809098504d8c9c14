"""Fixtures for all tests: real stores, each test with an empty one."""

import os
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker

import pytest
from hypothesis import settings

from support.processes import children, end, left_since
from support.valkey import Kind, ValkeyServer, server_binary

# A run in the background inherits that SIGINT is ignored, and one under nohup SIGHUP; so would all
# that the tests start. A handler that does nothing ignores it here as well, and goes no further:
# a program begins with the default for what was handled before it (POSIX, `execve`).
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)

# A process that multiprocessing starts once, at its first need of it, and keeps: no test's own.
resource_tracker.ensure_running()

# A slow machine is no failure; and a build tries the same examples today as yesterday.
settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _ends_its_processes() -> Iterator[None]:
    """A test that leaves a process fails, and the process ends: it would fail another test."""
    before = children()
    yield
    left = [end(pid) for pid in sorted(left_since(before))]
    assert left == []


def flushed(server: ValkeyServer) -> str:
    """The address of this server, with nothing stored in it."""
    with server.admin as client:
        client.flushall()
    return server.url


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """One Valkey on a unix socket for the whole run; a test that stops it must make its own."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def valkey_url(valkey: ValkeyServer) -> str:
    """The address of an empty Valkey."""
    return flushed(valkey)


@pytest.fixture(scope="session")
def valkey_tcp() -> Iterator[ValkeyServer]:
    """One Valkey on a TCP port for the whole run; a test that stops it must make its own."""
    with ValkeyServer(listen="tcp") as server:
        yield server


@pytest.fixture
def valkey_tcp_url(valkey_tcp: ValkeyServer) -> str:
    """The address of an empty Valkey, over TCP."""
    return flushed(valkey_tcp)


@pytest.fixture(scope="session", params=["valkey", "redis"])
def any_server(request: pytest.FixtureRequest) -> Iterator[ValkeyServer]:
    """Valkey, then the machine's Redis where it has one: for what must hold on both."""
    kind: Kind = request.param
    if server_binary(kind) is None:
        pytest.skip(f"no {kind} server on this machine")
    with ValkeyServer(kind=kind) as server:
        yield server


@pytest.fixture
def any_server_url(any_server: ValkeyServer) -> str:
    """The address of an empty Valkey, then of an empty Redis."""
    return flushed(any_server)
