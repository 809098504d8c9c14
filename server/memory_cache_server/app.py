"""The ASGI application of one worker."""

import time

from fastapi import FastAPI

from memory_cache_server.settings import Settings


def create_app(settings: Settings) -> FastAPI:  # noqa: ARG001  no route needs a setting yet
    """Make the application that a worker with these settings runs."""
    app = FastAPI(title="memory-cache", docs_url=None, redoc_url=None)

    @app.get("/v1/health")
    async def health() -> dict[str, int]:
        """Answer the time, in milliseconds since the epoch."""
        return {"now": time.time_ns() // 1_000_000}

    return app
