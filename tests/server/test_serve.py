"""`memory-cache serve`: real processes, a real embedded Valkey, and every way to end them."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

import memory_cache
import memory_cache_server
from support.serving import (
    COMMAND,
    ServerProcess,
    alive,
    end_valkey,
    environment,
    run,
    wait_for,
    wait_for_end,
)

KEY, VALUE = "test:key", b"kept"
BODY = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory; no Valkey outlives the test in it."""
    folder = tmp_path / "d"
    yield folder
    end_valkey(folder)


def serve(data_dir: Path, *words: str, **variables: str) -> ServerProcess:
    """A server on this data directory."""
    return ServerProcess("--data-dir", str(data_dir), *words, cwd=data_dir.parent, **variables)


def store(data_dir: Path) -> redis.Redis:
    """A client of the embedded Valkey of this data directory."""
    return redis.Redis(unix_socket_path=str(data_dir / "valkey.sock"))


def healthy(url: str) -> bool:
    """Whether the server answers."""
    try:
        return httpx.get(f"{url}/v1/health").is_success
    except httpx.TransportError:
        return False


def test_ready(data_dir: Path) -> None:
    """Standard output has one line, the URL, and it answers from then on; SIGTERM exits 0."""
    with serve(data_dir, "--workers", "2") as server:
        assert healthy(server.url)
        assert len(server.workers()) == 2
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert server.rest_of_stdout() == ""
        assert not any(alive(pid) for pid in server.workers() + server.valkeys())


def test_interrupt(data_dir: Path) -> None:
    """Ctrl-C ends it as SIGTERM does."""
    with serve(data_dir) as server:
        server.signal(signal.SIGINT)
        assert server.wait() == 0


def test_taken_port(tmp_path: Path) -> None:
    """A port that is taken is a failure in words, exit 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("serve", "--port", port, "--redis-url", "redis://127.0.0.1:1", cwd=tmp_path)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.stderr
    assert ended.stdout == ""


def test_unreachable_store(tmp_path: Path) -> None:
    """A store that is not there is a failure in words, exit 1, and no password is in them."""
    url = "redis://:secret@127.0.0.1:1"
    ended = run("serve", "--port", "0", "--redis-url", url, cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1].startswith("memory-cache: StoreError: ")
    assert "secret" not in ended.stderr
    assert "Traceback" not in ended.stderr


def begin_put(server: ServerProcess, body: bytes) -> socket.socket:
    """Send the head of a PUT and half its body, and wait until the application reads it."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    head = (
        "PUT /v1/working-memory/in-flight HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
    connection.sendall(body[: len(body) // 2])
    return connection


def finish_put(connection: socket.socket, body: bytes) -> bytes:
    """Send the other half, and answer what comes until the server closes."""
    with connection:
        connection.sendall(body[len(body) // 2 :])
        return b"".join(iter(lambda: connection.recv(65536), b""))


def refuses(port: int) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return True
    return False


def test_in_flight(data_dir: Path) -> None:
    """A request in flight at SIGTERM is answered in full, and the server exits 0."""
    with serve(data_dir) as server:
        connection = begin_put(server, BODY)
        server.signal(signal.SIGTERM)
        wait_for(lambda: refuses(server.port), "the listener to be closed")
        assert finish_put(connection, BODY).startswith(b"HTTP/1.1 200 ")
        assert server.wait() == 0


def test_whole_group_terminated(data_dir: Path) -> None:
    """SIGTERM for all processes at once, as service managers send it, does not take the store."""
    with serve(data_dir) as server:
        connection = begin_put(server, BODY)
        os.kill(server.valkeys()[0], signal.SIGTERM)
        os.kill(server.workers()[0], signal.SIGTERM)
        server.signal(signal.SIGTERM)
        wait_for(lambda: len(server.valkeys()) == 2, "a Valkey for what is in flight")
        assert finish_put(connection, BODY).startswith(b"HTTP/1.1 200 ")
        assert server.wait() == 0
        assert not any(alive(pid) for pid in server.valkeys())


def test_impatient(data_dir: Path) -> None:
    """A second Ctrl-C does not wait for what is in flight, and the exit code says so."""
    with serve(data_dir, "--grace-seconds", "600") as server:
        connection = begin_put(server, BODY)
        server.signal(signal.SIGINT)
        wait_for(lambda: refuses(server.port), "the listener to be closed")
        server.signal(signal.SIGINT)
        assert server.wait() == 1
        connection.close()
        assert not any(alive(pid) for pid in server.workers() + server.valkeys())


def test_second_start(data_dir: Path) -> None:
    """A second server on a data directory is refused, in words that name the first."""
    with serve(data_dir) as server:
        ended = run("serve", "--port", "0", "--data-dir", str(data_dir), cwd=data_dir.parent)
        assert ended.returncode == 1
        assert f"in use by the memory-cache with pid {server.process.pid}" in ended.stderr
        assert healthy(server.url)
        assert alive(server.valkeys()[0])


def test_stop_and_start(data_dir: Path) -> None:
    """What was written is there after a stop and a start."""
    with serve(data_dir) as server, store(data_dir) as client:
        client.set(KEY, VALUE)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    with serve(data_dir), store(data_dir) as client:
        assert client.get(KEY) == VALUE


def test_parent_killed(data_dir: Path) -> None:
    """After `kill -9` of the parent its workers end; its Valkey lives, and is adopted."""
    with serve(data_dir, "--workers", "2") as first, store(data_dir) as client:
        client.set(KEY, VALUE)
        first.kill_group()
        for pid in first.workers():
            wait_for_end(pid)
        assert alive(first.valkeys()[0])
        assert client.get(KEY) == VALUE
    with serve(data_dir, "--durability", "always") as second, store(data_dir) as client:
        assert second.valkeys() == first.valkeys()
        assert client.get(KEY) == VALUE
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
        second.signal(signal.SIGTERM)
        assert second.wait() == 0
        assert not alive(second.valkeys()[0])


@pytest.mark.parametrize("durability", ["always", "everysec"])
def test_valkey_killed(data_dir: Path, durability: str) -> None:
    """After `kill -9` of Valkey another one serves the same data, without a restart of ours."""
    with serve(data_dir, "--durability", durability) as server:
        with store(data_dir) as client:
            client.set(KEY, VALUE)
            if durability == "everysec":
                # It holds writes back in memory while a sync runs, for two seconds at most.
                assert client.execute_command("WAITAOF", 1, 0, 10_000) == [1, 0]
        os.kill(server.valkeys()[0], signal.SIGKILL)
        wait_for(lambda: len(server.valkeys()) == 2, "another Valkey")
        with store(data_dir) as client:
            assert client.get(KEY) == VALUE
        assert len(server.workers()) == 1
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not alive(server.valkeys()[1])


def test_worker_terminated(data_dir: Path) -> None:
    """A worker that gets a SIGTERM of its own ends in order, and is replaced."""
    with serve(data_dir) as server:
        os.kill(server.workers()[0], signal.SIGTERM)
        wait_for(lambda: len(server.workers()) == 2, "another worker")
        assert f"worker {server.workers()[0]} ended (0)" in server.log()


def test_worker_killed(data_dir: Path) -> None:
    """After `kill -9` of a worker another one answers at the same address."""
    with serve(data_dir) as server:
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_for(lambda: len(server.workers()) == 2, "another worker")
        assert healthy(server.url)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def spares(server: ServerProcess) -> list[int]:
    """Process ids of the workers that wait to be needed."""
    parent = server.process.pid
    pids = map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    return [pid for pid in pids if pid not in {*server.workers(), *server.valkeys()}]


def test_spare_worker(data_dir: Path) -> None:
    """A spare worker takes the place of one that is killed, and another one its place."""
    with serve(data_dir, "--workers", "2") as server:
        [spare] = wait_for(lambda: spares(server), "a spare worker")
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_for(lambda: len(server.workers()) == 3, "another worker")
        assert server.workers()[2] == spare
        [other] = wait_for(lambda: spares(server), "another spare worker")
        assert other != spare
        os.kill(server.workers()[1], signal.SIGKILL)
        os.kill(spare, signal.SIGKILL)
        wait_for(lambda: len(server.workers()) == 5, "two other workers")
        assert other in server.workers()
        assert healthy(server.url)


def test_spare_worker_ends(data_dir: Path) -> None:
    """A spare worker that was killed is not waited for; a living one ends with the server."""
    with serve(data_dir) as server:
        [spare] = wait_for(lambda: spares(server), "a spare worker")
        os.kill(spare, signal.SIGKILL)
        wait_for_end(spare)
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_for(lambda: len(server.workers()) == 2, "another worker")
        [spare] = wait_for(lambda: spares(server), "another spare worker")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        wait_for_end(spare)


def test_spare_worker_outlives_nobody(data_dir: Path) -> None:
    """After `kill -9` of the parent its spare worker ends, without a word."""
    with serve(data_dir) as server:
        [spare] = wait_for(lambda: spares(server), "a spare worker")
        server.kill_group()
        wait_for_end(spare)
        assert "Traceback" not in server.log()


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: while it exists no worker can start, for want of the application."""
    flag = tmp_path / "broken"
    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib, sys\n"
        f"if pathlib.Path({str(flag)!r}).exists():\n"
        "    sys.modules['memory_cache_server.app'] = None\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return flag


def test_worker_cannot_start(data_dir: Path, broken: Path) -> None:
    """A worker that cannot start ends the server before it is ready, exit 1; Valkey is stopped."""
    broken.touch()
    ended = run("serve", "--port", "0", "--data-dir", str(data_dir), cwd=data_dir.parent)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1].startswith("memory-cache: worker ")
    assert not (data_dir / "valkey.sock").exists()


def test_replacement_is_tried_again(data_dir: Path, broken: Path) -> None:
    """A worker's place is filled as soon as one can start again."""
    with serve(data_dir, "--spare-workers", "0") as server:
        broken.touch()
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_for(lambda: server.log().count("ModuleNotFoundError") >= 2, "two failed starts")
        broken.unlink()
        wait_for(lambda: len(server.workers()) == 2, "another worker")
        assert healthy(server.url)


@pytest.mark.slow
def test_gives_up(data_dir: Path, broken: Path) -> None:
    """When nobody serves and nobody can be started, the server ends, exit 1."""
    with serve(data_dir, "--spare-workers", "0") as server:
        broken.touch()
        os.kill(server.workers()[0], signal.SIGKILL)
        assert server.wait() == 1
        assert server.log().count("ModuleNotFoundError") == 8
        assert not alive(server.valkeys()[0])


def test_durability_of_another_store(tmp_path: Path) -> None:
    """`--durability` together with a Redis URL is refused: it would promise what we do not hold."""
    words = ("--durability", "always")
    ended = run("serve", *words, cwd=tmp_path, REDIS_URL="redis://:secret@127.0.0.1:1")
    assert ended.returncode == 2
    assert "--durability is for the embedded Valkey" in ended.stderr
    assert "secret" not in ended.stderr


def test_unprotected(tmp_path: Path) -> None:
    """A server that was to authenticate does not start without."""
    ended = run("serve", "--port", "0", cwd=tmp_path, DISABLE_AUTH="false", AUTH_MODE="token")
    assert ended.returncode == 2
    assert "AUTH_MODE, DISABLE_AUTH=false asks for authentication" in ended.stderr


def test_missing_extra(tmp_path: Path) -> None:
    """Without the extra `server` the command names it, and exits 2."""
    for package in (memory_cache, memory_cache_server):
        assert package.__file__ is not None
        folder = Path(package.__file__).parent
        (tmp_path / folder.name).symlink_to(folder)
    ended = subprocess.run(
        # -S: without site-packages, so with nothing but what is linked here.
        [sys.executable, "-S", *COMMAND[1:], "serve"],
        env=environment(PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "pip install '.[server]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_config_command(tmp_path: Path) -> None:
    """`config` shows each setting with its value and origin, and no password."""
    url = "redis://user:secret@127.0.0.1:1/0"
    table = run("config", "--port", "7", cwd=tmp_path, REDIS_URL=url)
    assert table.returncode == 0
    assert ["PORT", "--port", "7", "flag"] in [line.split() for line in table.stdout.splitlines()]
    rows = json.loads(run("config", "--json", cwd=tmp_path, REDIS_URL=url).stdout)
    assert rows["REDIS_URL"] == {
        "flag": "--redis-url",
        "value": "redis://user:***@127.0.0.1:1/0",
        "origin": "environment",
    }
    assert rows["MEMORY_CACHE_WORKERS"]["value"] == 1
    assert "secret" not in table.stdout


def test_unknown_flag(tmp_path: Path) -> None:
    """A flag that is not one is an error of usage, exit 2, even if it begins like one."""
    ended = run("serve", "--redis", "redis://127.0.0.1:1", cwd=tmp_path)
    assert ended.returncode == 2
    assert "--redis" in ended.stderr


def test_offer_of_http_2_is_passed_over(data_dir: Path) -> None:
    """The body of a request that offers h2c, as Java's client does, is not lost."""
    head = (
        f"POST /v1/working-memory/chat/messages HTTP/1.1\r\nHost: x\r\n"
        f"Connection: Upgrade, HTTP2-Settings\r\nContent-Length: {len(BODY)}\r\n"
        "HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n"
        "Upgrade: h2c\r\nContent-Type: application/json\r\n\r\n"
    )
    with (
        serve(data_dir) as server,
        socket.create_connection(("127.0.0.1", server.port), 20) as link,
    ):
        link.sendall(head.encode() + BODY)
        assert link.recv(4096).startswith(b"HTTP/1.1 200 ")
