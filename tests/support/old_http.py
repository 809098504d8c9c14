"""
An agent-memory-server of a test's own making, over HTTP: a function answers every GET.

Example:
    with OldHttp(lambda path, query: (200, b"{}")) as server:
        ...  # clients of server.url
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

Answer = Callable[[str, dict[str, str]], tuple[int, bytes]]


class OldHttp:
    """One server on loopback; ``asked`` are the methods of the requests that came."""

    def __init__(self, answer: Answer) -> None:
        asked = self.asked = set[str | None]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked.add(self.command)
                parts = urlsplit(self.path)
                status, body = answer(unquote(parts.path), dict(parse_qsl(parts.query)))
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"
