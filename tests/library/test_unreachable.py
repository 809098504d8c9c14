"""A store that cannot be had: the error says why, and no password."""

import asyncio
import contextlib
import logging
import socket
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from memory_cache import CacheConfig, StoreError, open_cache
from support.tls import tls_port
from support.valkey import Kind, ValkeyServer, free_port, server_binary

SECRET = "sesame"
QUICK = CacheConfig(connect_timeout_seconds=0.2)
PATIENT = CacheConfig(connect_timeout_seconds=10)
"""A handshake of TLS takes its time on a busy machine."""


async def reason(url: str, config: CacheConfig | None = None) -> str:
    """Why a cache cannot be opened."""
    with pytest.raises(StoreError) as refused:
        async with open_cache(url, config=config or PATIENT):
            pass
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    return refused.value.reason


@contextlib.asynccontextmanager
async def silent(first: bytes = b"") -> AsyncIterator[int]:
    """A port that takes connections, and never says a word after the first ones."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_nobody(tmp_path: Path) -> None:
    """Nobody at a port, no socket at a path, no address of a name: three reasons."""
    assert "nothing listens" in await reason(f"redis://:{SECRET}@127.0.0.1:{free_port()}")
    assert "no socket at its path" in await reason(f"unix://{tmp_path}/none")
    assert "host name" in await reason(f"redis://:{SECRET}@no-such-host.invalid")


def called(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> str:
    """A name that has these addresses."""

    async def look_up(_: str, port: int, **__: object) -> list[object]:
        kind = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
        return [(*kind, (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    return "store.example"


async def test_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may have several addresses, as localhost has; what is wrong with them is said."""
    name = called(monkeypatch, "127.0.0.1", "127.0.0.2")
    assert "nothing listens" in await reason(f"redis://{name}:{free_port()}")


async def test_no_database(any_server_url: str) -> None:
    """A database that the server has not is said to be none."""
    assert "no database" in await reason(f"{any_server_url}?db=99")


async def test_protected_mode() -> None:
    """A server in protected mode says so before it is asked."""
    async with silent(b"-DENIED Redis is running in protected mode, because\r\n") as port:
        assert "protected mode" in await reason(f"redis://127.0.0.1:{port}")


@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_no_word_of_the_server(kind: Kind) -> None:
    """What a server says of an AUTH that it has not repeats the password: no traceback shows it."""
    if server_binary(kind) is None:
        pytest.skip(f"no {kind} server on this machine")
    with ValkeyServer(kind=kind, config={"rename-command": 'AUTH ""'}) as server:
        for user in ("", "username=me&"):
            said = await reason(f"{server.url}?{user}password={SECRET}")
            assert "no command AUTH" in said


async def test_certificate_of_another(
    tmp_path: Path, valkey_tcp: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate for another host: that is said, and no host, for HTTP clients read it."""
    async with tls_port(tmp_path, valkey_tcp.port) as port:
        name = called(monkeypatch, "127.0.0.1")
        said = await reason(f"rediss://{name}:{port}?ssl_ca_certs={tmp_path / 'cert.pem'}")
    assert "certificate is not accepted (Hostname mismatch)" in said


async def test_silence() -> None:
    """Who takes a connection and says nothing is told from who is not there."""
    async with silent() as port:
        assert "does not answer" in await reason(f"redis://127.0.0.1:{port}", QUICK)
        assert "no TLS handshake" in await reason(f"rediss://127.0.0.1:{port}", QUICK)


async def test_password(valkey_tcp: ValkeyServer) -> None:
    """A password that is missing or wrong is said to be."""
    with valkey_tcp.admin as client:
        client.execute_command("ACL", "SETUSER", "locked", "on", f">{SECRET}", "+@all", "~*", "&*")
    url = f"127.0.0.1:{valkey_tcp.port}"
    assert "password" in await reason(f"redis://locked:no@{url}")
    async with open_cache(f"redis://locked:{SECRET}@{url}"):
        pass


async def test_no_more_connections() -> None:
    """A server that has no connection left says so, and so do we."""
    with ValkeyServer(listen="tcp") as server, server.admin as client:
        client.config_set("maxclients", 1)
        assert "maxclients" in await reason(server.url)


async def test_tls(tmp_path: Path, valkey_tcp: ValkeyServer) -> None:
    """A certificate that is not trusted, TLS where there is none and none where there is."""
    async with tls_port(tmp_path, valkey_tcp.port) as port:
        address = f"127.0.0.1:{port}"
        trusted = f"ssl_ca_certs={tmp_path / 'cert.pem'}"
        assert "certificate is not accepted" in await reason(f"rediss://{address}")
        assert "rediss://" in await reason(f"redis://{address}")
        for url in (f"rediss://{address}?{trusted}", f"valkeys://{address}?ssl_cert_reqs=none"):
            async with open_cache(url) as cache:
                await cache.session("s").append({"by": url})
    plain = f"127.0.0.1:{valkey_tcp.port}"
    assert "TLS" in await reason(f"rediss://{plain}")


async def test_tls_that_wants_a_certificate(tmp_path: Path, valkey_tcp: ValkeyServer) -> None:
    """Where the server wants one from us, the options that give it one are named."""
    async with tls_port(tmp_path, valkey_tcp.port, asks_for_one=True) as port:
        own = f"ssl_certfile={tmp_path / 'cert.pem'}&ssl_keyfile={tmp_path / 'key.pem'}"
        url = f"rediss://localhost:{port}?ssl_ca_certs={tmp_path / 'cert.pem'}"
        said = await reason(url)
        assert "ssl_certfile" in said or "CERTIFICATE_REQUIRED" in said
        async with open_cache(f"{url}&{own}") as cache:
            await cache.session("s").append({"a": 1})


async def test_options_without_effect(
    valkey_tcp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Options of a pool are accepted; that they change nothing is said once."""
    with caplog.at_level(logging.WARNING, "memory_cache"):
        async with open_cache(f"{valkey_tcp_url}?max_connections=10&decode_responses=true"):
            pass
    said = [record.getMessage() for record in caplog.records]
    assert said == ["without effect in the Redis URL: decode_responses, max_connections"]
