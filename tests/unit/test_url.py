"""What a Redis URL says, and what is wrong with one."""

import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio.connection import SSLConnection
from redis.credentials import UsernamePasswordCredentialProvider

from memory_cache import CacheConfig, open_cache
from memory_cache._redis.url import read_url
from support.tls import LOCKED_KEY, written

SECRET = "sesame"

WRONG = [
    ("http://localhost", "begins with redis://"),
    ("localhost:6379", "begins with redis://"),
    (f"redis://:{SECRET}/x@localhost", "'/'"),
    (f"redis://:{SECRET}?x@localhost", "'?'"),
    (f"redis://:{SECRET}#x@localhost", "'#'"),
    (f"redis://:{SECRET}[x@localhost", "host"),
    (f"redis://u:p@localhost:{SECRET}", "port"),
    ("redis://localhost:99999", "port"),
    (f"redis://localhost/{SECRET}", "database"),
    (f"redis://localhost?db={SECRET}", "db"),
    ("redis://localhost?db=-1", "db"),
    (f"redis://localhost/{'9' * 5000}", "database"),
    (f"redis://u:x@y?my_{SECRET}&z@localhost", "not understood"),
    (f"redis://:{SECRET}\udcff@localhost", "character"),
    ("redis://localhost?ssl_cert_reqs=none", "rediss://"),
    ("redis://localhost?no_such_option=1", "no_such_option"),
    (f"redis://localhost?{SECRET}", "not understood"),
    (f"rediss://localhost?ssl_cert_reqs={SECRET}", "ssl_cert_reqs"),
    ("rediss://localhost?ssl_ca_certs=/no/such/file", "ssl_ca_certs: No such file"),
    ("rediss://localhost?ssl_ca_path=/no/such/folder", "ssl_ca_path: there is no such folder"),
    ("rediss://localhost?ssl_min_version=9", "ssl_min_version"),
    ("rediss://localhost?ssl_ciphers=none-of-them", "ciphers"),
    (f"rediss://localhost?ssl_keyfile={__file__}", "ssl_certfile"),
    ("unix://run/valkey.sock", "three slashes"),
    ("unix://", "three slashes"),
]


@pytest.mark.parametrize(("url", "said"), WRONG)
def test_wrong(url: str, said: str) -> None:
    """What is wrong is said at once, before anything is entered; no secret is repeated."""
    with pytest.raises(ValueError, match="Redis URL") as refused:
        open_cache(url)
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


def test_file_that_is_no_certificate(tmp_path: Path) -> None:
    """A file that is there and holds no certificate is wrong in the URL, too."""
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="certificates"):
        read_url(f"rediss://localhost?ssl_ca_certs={tmp_path / 'empty'}")


@pytest.mark.parametrize("scheme", ["redis", "valkey", "rediss", "valkeys"])
def test_parts(scheme: str) -> None:
    """Each part of a URL arrives, whatever its scheme; a password may hold anything, encoded."""
    read = read_url(f"{scheme}://me:a%2Fb%23c%3Fd%40@host.example:7000/3?socket_keepalive=no")
    assert dict(read.options) == {
        "host": "host.example",
        "port": 7000,
        "username": "me",
        "password": "a/b#c?d@",
        "db": 3,
        "socket_keepalive": False,
    }
    assert read.database == 3
    assert issubclass(read.connection_class, SSLConnection) == (scheme in {"rediss", "valkeys"})


def test_socket() -> None:
    """A path is a path, and may hold what a host may not."""
    read = read_url("unix:///run/a%20b@c.sock?db=2&password=p")
    assert dict(read.options) == {"path": "/run/a b@c.sock", "password": "p", "db": 2}


def test_tls(tmp_path: Path) -> None:
    """Options of TLS are taken as redis-py's users write them, and as Python names them."""
    certificate, key = written(tmp_path)
    read = read_url(
        f"rediss://h?ssl_ca_certs={certificate}&ssl_certfile={certificate}&ssl_keyfile={key}"
        "&ssl_cert_reqs=CERT_NONE&ssl_min_version=771&ssl_check_hostname=false"
    )
    assert read.options["ssl_cert_reqs"] == "none"
    assert read.options["ssl_min_version"] is ssl.TLSVersion.TLSv1_2
    assert read.options["ssl_check_hostname"] is False


def test_locked_key(tmp_path: Path) -> None:
    """A key whose password is missing is an error; nobody is asked for it at the terminal."""
    certificate, _ = written(tmp_path)
    (tmp_path / "locked.pem").write_text(LOCKED_KEY)
    url = f"rediss://h?ssl_certfile={certificate}&ssl_keyfile={tmp_path / 'locked.pem'}"
    # In a session of its own it has no terminal, and what asks for one writes to its output.
    code = (
        "import sys, memory_cache\n"
        "try: memory_cache.open_cache(sys.argv[1])\n"
        "except ValueError as error: print(error)\n"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code, url],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
    )
    assert "key password" in asked.stdout
    assert asked.stderr == ""


def test_no_secret_in_a_repr() -> None:
    """A URL that was read may be shown."""
    assert SECRET not in repr(read_url(f"redis://:{SECRET}@h"))


def test_without_effect() -> None:
    """What a pool or a client of redis-py would take is accepted, and named."""
    assert read_url("unix:///s?socket_keepalive=1").without_effect == ("socket_keepalive",)
    read = read_url("redis://h?max_connections=10&decode_responses=True&socket_timeout=5&db=1")
    assert read.without_effect == ("decode_responses", "max_connections", "socket_timeout")
    assert dict(read.options) == {"host": "h", "db": 1}


def test_credentials_twice() -> None:
    """A password in the URL beside a credential provider is refused: which one would be meant."""
    provider = UsernamePasswordCredentialProvider("me", "secret")
    with pytest.raises(ValueError, match="credential provider"):
        open_cache("redis://:other@localhost", config=CacheConfig(), credential_provider=provider)
