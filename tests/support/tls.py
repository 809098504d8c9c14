"""
TLS in front of a server that has none, by a certificate that is made for these tests only.

It is for localhost and 127.0.0.1, until the year 2126; its key is here for anybody to read.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUTRLOvu1oNL6DbXl12jaMdDQlQvMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDEyMzQxMVoYDzIxMjYxMTA2
MTIzNDExWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAS7aKSySTua93P41E7IO2Ps+fU8nTGRKNaHQhsDbl2LMLxJD6z5JC6/
JEQKlxvwUhYKdWH/1UYd7kbWiC1xaXFDo28wbTAdBgNVHQ4EFgQUt8RL9Z+F3eBK
yCy0zIKXk6toDHcwHwYDVR0jBBgwFoAUt8RL9Z+F3eBKyCy0zIKXk6toDHcwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgSQ+qTBqXHV7NxZpjIL9SOCSL06P6SvTnBZn55KEwegcCIQCI
7D6XpERwgWERs1BDdVHS4T/e3fP7bQGCsGdTDlOrOg==
-----END CERTIFICATE-----
"""

KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgD/s5guAhi4qCUX8/
kyXAKM6Mep17P0TOJXEWlVyFxZ6hRANCAAS7aKSySTua93P41E7IO2Ps+fU8nTGR
KNaHQhsDbl2LMLxJD6z5JC6/JEQKlxvwUhYKdWH/1UYd7kbWiC1xaXFD
-----END PRIVATE KEY-----
"""

LOCKED_KEY = """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgS1qmmJQrQdQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEENgtoCFoGTR+p1b/yeZhoO4EgZAT
+lYGqGcutEzRVtaFspz9zpTvmJDQHL2R4Y7YhpSwKqnEPxmABB8z/Qt2dKHooCag
xw8DlGI2paH5CydSYzjHdzzqj3yFsRm8mpQ7OVfKT6LpZ9dDZUqEOkp0JZJ5er/j
7MHIgaILjds+IHiEaCpxcOox4QNa24BMQ/Lw1BP7160SRyI+cVkMzoiLst1F+qA=
-----END ENCRYPTED PRIVATE KEY-----
"""
"""The same key, behind a password."""


def written(folder: Path) -> tuple[Path, Path]:
    """Write certificate and key into a folder; their paths."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_text(CERTIFICATE)
    key.write_text(KEY)
    return certificate, key


@contextlib.asynccontextmanager
async def tls_port(folder: Path, port: int, *, asks_for_one: bool = False) -> AsyncIterator[int]:
    """
    Take connections by TLS, and carry what comes along to this port of loopback; our port.

    ``asks_for_one``: whoever connects must have a certificate, too.
    """
    certificate, key = written(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if asks_for_one:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate)
    running: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs = await asyncio.open_connection("127.0.0.1", port)
        for each in (pump(reader, theirs[1]), pump(theirs[0], writer)):
            task = asyncio.create_task(each)
            running.add(task)
            task.add_done_callback(running.discard)

    server = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
