"""The floor under any HTTP answer: a raw ASGI application that always sends the same bytes."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import uvicorn
import uvloop


def application(headers: list[tuple[bytes, bytes]], body: bytes) -> Any:  # noqa: ANN401  # ASGI
    """Return an application that sends this to every request."""
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    end = {"type": "http.response.body", "body": body}

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401, ARG001  # ASGI
        await send(start)
        await send(end)

    return app


def draining() -> Any:  # noqa: ANN401  # ASGI
    """Return an application that reads a body, and sends it back unless a short answer will do."""

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  # ASGI
        chunks, more = [], True
        while more:
            message = await receive()
            chunks.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(chunks)
        if any(name == b"prefer" for name, _ in scope["headers"]):
            body = b"{}"
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    return app


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:  # noqa: ANN401  # as theirs
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


def main() -> None:
    """Serve on a free port, and print the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("answer", type=Path, nargs="?", help="JSON: headers, body to send always")
    parser.add_argument("--drain", action="store_true", help="read the body and send it back")
    options = parser.parse_args()
    if options.drain:
        app = draining()
    else:
        answer = json.loads(options.answer.read_text())
        headers = [(name.encode(), value.encode()) for name, value in answer["headers"]]
        app = application(headers, answer["body"].encode())
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="off",
        loop="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        port=0,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Server(config).serve())


if __name__ == "__main__":
    main()
