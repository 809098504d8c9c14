import os

import pytest
import redis

from support.valkey import Listen, ServerStartError, ValkeyServer


@pytest.mark.parametrize("listen", ["unix", "tcp"])
def test_saved_data_survives_a_crash(listen: Listen) -> None:
    """A server that saves every command has them again, at the same address, after a kill."""
    config = {"appendonly": "yes", "appendfsync": "always"}
    with ValkeyServer(listen=listen, config=config) as server:
        url, first_pid = server.url, server.pid
        with server.admin as client:
            client.set("key", "value")
        server.kill()
        server.start()
        assert server.url == url
        assert server.pid != first_pid
        with server.admin as client:
            assert client.get("key") == b"value"


def test_default_server_saves_nothing() -> None:
    """Without being told otherwise a server forgets everything when it restarts."""
    with ValkeyServer() as server, server.admin as client:
        client.set("key", "value")
        server.restart()
        assert client.get("key") is None


def test_closed_server_leaves_nothing() -> None:
    """After the block neither the process nor its folder exists."""
    with ValkeyServer() as server:
        pid = server.pid
        folder = server.folder
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_failed_start_says_why() -> None:
    """A server that cannot start raises its log and leaves nothing."""
    with pytest.raises(ServerStartError, match="no-such-setting"):
        ValkeyServer(config={"no-such-setting": "1"}).__enter__()


def test_stopped_server_refuses() -> None:
    """A stopped server answers nobody."""
    with ValkeyServer() as server, server.admin as client:
        server.stop()
        assert not server.is_running
        with pytest.raises(redis.ConnectionError):
            client.ping()


def test_each_test_gets_an_empty_store(any_server_url: str) -> None:
    """Both kinds of server are given to a test with nothing in them."""
    with redis.Redis.from_url(any_server_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")
