"""
Redis URLs: which store they name, and what is wrong with one.

redis-py's own reader takes what it does not know for an argument of a connection, a database
that is no number for database 0, and half a password for a port. Here each of them is an error
that says so, before anything is connected. No message repeats a part that may be a secret.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

_CLASSES: Final[Mapping[str, type[AbstractConnection]]] = {
    "redis": Connection,
    "valkey": Connection,
    "rediss": SSLConnection,
    "valkeys": SSLConnection,
    "unix": UnixDomainSocketConnection,
}
SCHEMES: Final = tuple(f"{scheme}://" for scheme in _CLASSES)

_FALSE: Final = frozenset({"", "0", "f", "false", "n", "no"})


_LONGEST_NUMBER: Final = 9
"""Digits; those of 2**31, which no server has as many databases as, are ten."""


def _flag(text: str) -> bool:
    return text.lower() not in _FALSE


def _database(text: str) -> int:
    if not text.isdecimal() or len(text) > _LONGEST_NUMBER:
        raise ValueError("it must be a number")
    return int(text)


def _cert_reqs(text: str) -> str:
    short = text.lower().removeprefix("cert_")
    if short not in {"none", "optional", "required"}:
        raise ValueError("it must be none, optional or required")
    return short


def _file(text: str) -> str:
    with Path(text).open("rb"):
        return text


def _folder(text: str) -> str:
    if not Path(text).is_dir():
        raise ValueError("there is no such folder")
    return text


def _tls_version(text: str) -> ssl.TLSVersion:
    try:
        return ssl.TLSVersion(int(text))
    except ValueError:
        raise ValueError("it must be the number of a TLS version, such as 771 for 1.2") from None


_KEEPALIVE: Final = "socket_keepalive"
_TAKEN: Final[Mapping[str, Callable[[str], object]]] = {
    "db": _database,
    "username": str,
    "password": str,
    _KEEPALIVE: _flag,
}
_TAKEN_WITH_TLS: Final[Mapping[str, Callable[[str], object]]] = {
    "ssl_ca_certs": _file,
    "ssl_ca_data": str,
    "ssl_ca_path": _folder,
    "ssl_cert_reqs": _cert_reqs,
    "ssl_certfile": _file,
    "ssl_check_hostname": _flag,
    "ssl_ciphers": str,
    "ssl_keyfile": _file,
    "ssl_min_version": _tls_version,
    "ssl_password": str,
}
_WITHOUT_EFFECT: Final = frozenset(
    {
        *("client_name", "lib_name", "lib_version", "protocol"),
        *("decode_responses", "encoding", "encoding_errors"),
        *("health_check_interval", "retry_on_error", "retry_on_timeout"),
        *("max_connections", "single_connection_client", "timeout"),
        *("socket_connect_timeout", "socket_read_size", "socket_timeout"),
    }
)
"""Options of redis-py's clients and pools, in whose place there are settings or rules of ours."""


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """
    A Redis URL that has been read.

    ``options``: arguments of ``connection_class``. ``without_effect``: names of options that
    redis-py's users write and that change nothing here.
    """

    connection_class: type[AbstractConnection]
    options: Mapping[str, Any] = field(repr=False)  # a password is among them
    database: int
    without_effect: tuple[str, ...]


def read_url(url: str) -> StoreUrl:
    """
    Read a Redis URL: ``redis://``, ``valkey://``, with TLS ``rediss://`` or ``valkeys://``, ``unix://``.

    The files that it names are looked at, too.

    Raises:
        ValueError: this is not one; the message says which part is wrong.
    """
    parts = _split(url)
    options: dict[str, Any] = _address(parts)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    kind = _CLASSES[parts.scheme]
    taken = {**_TAKEN, **(_TAKEN_WITH_TLS if kind is SSLConnection else {})}
    without_effect = _WITHOUT_EFFECT | ({_KEEPALIVE} if parts.scheme == "unix" else frozenset())
    for name in query.keys() - without_effect:
        if name not in taken:
            raise ValueError(_not_taken(name, parts.query))
        try:
            options[name] = taken[name](query[name])
        except OSError as error:
            raise ValueError(f"the Redis URL's {name}: {error.strerror}") from None
        except ValueError as error:
            raise ValueError(f"the Redis URL's {name}: {error}") from None
    if "ssl_certfile" in options:
        # Without one, OpenSSL asks whoever sits at the terminal.
        options.setdefault("ssl_password", "")
    _check_tls(kind, options)
    unused = tuple(sorted(query.keys() & without_effect))
    return StoreUrl(kind, options, options.setdefault("db", 0), unused)


def _split(url: str) -> SplitResult:
    try:
        url.encode()
    except UnicodeEncodeError:
        raise ValueError("the Redis URL has a character that is none") from None
    if not url.startswith(SCHEMES):
        raise ValueError(f"a Redis URL begins with {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}")
    try:
        parts = urlsplit(url)
    except ValueError:  # its words may repeat what it could not read
        raise ValueError("the Redis URL's host cannot be one") from None
    if wrong := _misplaced(parts, url):
        raise ValueError(f"the Redis URL is cut in the wrong places: {wrong}")
    return parts


def _misplaced(parts: SplitResult, url: str) -> str | None:
    """Say what stands in a password, or a path, as it is, and so moves the parts of the URL."""
    is_unix = parts.scheme == "unix"
    if "#" in url:
        return "a '#' in a password or path is written %23"
    if "@" in parts.path and (parts.netloc or not is_unix):
        return "a '/' in a user name or password is written %2F"
    if "@" in parts.query and "@" not in parts.netloc:
        return "a '?' in a user name or password is written %3F"
    if is_unix and (parts.hostname or parts.path in {"", "/"}):
        return "that of a socket is unix:///path, with three slashes"
    return None


def _address(parts: SplitResult) -> dict[str, Any]:
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the Redis URL's port must be a number from 0 to 65535") from None
    found: dict[str, Any] = {}
    if parts.username:
        found["username"] = unquote(parts.username)
    if parts.password:
        found["password"] = unquote(parts.password)
    if parts.scheme == "unix":
        return found | {"path": unquote(parts.path)}
    if parts.hostname:
        found["host"] = unquote(parts.hostname)
    if port:
        found["port"] = port
    if database := parts.path.strip("/"):
        try:
            found["db"] = _database(database)
        except ValueError as error:
            raise ValueError(f"the Redis URL's path is its database: {error}") from None
    return found


def _not_taken(name: str, query: str) -> str:
    if name in _TAKEN_WITH_TLS:
        return f"the Redis URL's {name} is for TLS: the URL begins with rediss:// then"
    # A name may be a piece of a password in which a '?' or '&' stands as it is.
    may_be_read = name.isidentifier() and name.islower() and "_" in name and "@" not in query
    named = f" ({name})" if may_be_read else ""
    return f"the Redis URL has an option that is not understood{named}"


def _check_tls(kind: type[AbstractConnection], options: Mapping[str, Any]) -> None:
    """Read certificates and keys once: a connection would say no more than that it failed."""
    if kind is not SSLConnection:
        return
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("the Redis URL's ssl_keyfile is of no use without an ssl_certfile")
    try:
        SSLConnection(**options).ssl_context.get()
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "they cannot be read"
        text = f"the Redis URL's certificates, key, key password or ciphers: {reason}"
        raise ValueError(text) from None
