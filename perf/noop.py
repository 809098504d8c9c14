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


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:  # noqa: ANN401  # as theirs
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


def main() -> None:
    """Serve the answer in a file on a free port, and print the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("answer", type=Path, help="JSON: headers, body")
    answer = json.loads(parser.parse_args().answer.read_text())
    headers = [(name.encode(), value.encode()) for name, value in answer["headers"]]
    config = uvicorn.Config(
        application(headers, answer["body"].encode()),
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
