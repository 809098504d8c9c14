"""The ASGI application of one worker: the layers around the routes, and the cache beneath them."""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from memory_cache import CacheConfig, MemoryCacheError, open_cache, token_counter
from memory_cache_server import (
    routes_absent,
    routes_contract,
    routes_events,
    routes_own,
    routes_statistics,
)
from memory_cache_server.describe import with_bodies
from memory_cache_server.direct import Direct
from memory_cache_server.errors import (
    ErrorBoundary,
    Problem,
    answer_framework,
    answer_own,
)
from memory_cache_server.fast_events import FastEvents
from memory_cache_server.fast_path import FastPath
from memory_cache_server.inspector import routes as inspector
from memory_cache_server.models import SUMMARIZATION_THRESHOLD
from memory_cache_server.names import StrictNames
from memory_cache_server.putting import Putting
from memory_cache_server.services import Services, digest
from memory_cache_server.settings import ConfigurationError, Settings
from memory_cache_server.turns import Turns

_log = logging.getLogger(__name__)

# One per process: the file it reads is large, and the search for it may go over the network.
load_counter = functools.cache(token_counter)


def create_server(settings: Settings) -> FastPath:
    """Make what a worker with these settings runs: the application behind its short ways."""
    return layered(create_app(settings), settings)


def layered(app: FastAPI, settings: Settings) -> FastPath:
    """
    Put the short ways before the application.

    They are none of the framework's middlewares: these stand behind layers of its own, which cost
    more than a hot read.
    """
    routes = [*routes_contract.router.routes, *routes_own.router.routes]
    direct = Direct(app, routes, routes_contract.SESSION)
    return FastPath(FastEvents(direct), settings.ready_bytes)


def create_app(settings: Settings) -> FastAPI:
    """
    Make the application with these settings.

    Its lifespan opens the cache, so it raises what `open_cache` does, and `ConfigurationError`
    where no store is named.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.redis_url is None:
            raise ConfigurationError("a worker needs redis_url: the store to use")
        name, count_tokens = await asyncio.to_thread(load_counter)
        _log.info("tokens are counted by %s", name)
        config = CacheConfig(
            staleness_seconds=settings.staleness_seconds,
            near_cache_bytes=settings.rings_bytes,
            presence_bytes=settings.presence_bytes,
            max_message_bytes=settings.max_message_bytes,
            max_session_bytes=settings.max_session_bytes,
            max_future_seconds=settings.max_future_timestamp_seconds,
            store_timeout_seconds=settings.store_timeout_seconds,
            resend_seconds=max(60.0, 8 * settings.store_timeout_seconds),
            prefix=settings.prefix,
            count_tokens=count_tokens,
        )
        async with open_cache(settings.redis_url, config=config) as cache:
            times = settings.require_message_timestamps, settings.max_future_timestamp_seconds
            fingerprint = digest(_release(), name, SUMMARIZATION_THRESHOLD, times)
            putting = Putting(cache, settings, fingerprint)
            app.state.services = Services(cache, settings, fingerprint, putting, Turns())
            try:
                yield
            finally:
                putting.close()

    app = FastAPI(
        title="memory-cache",
        version=_release(),
        description="Working memory for LLM agents.",
        lifespan=lifespan,
        # The framework's pages load their scripts from a host that is none of ours.
        docs_url=None,
        redoc_url=None,
    )
    app.openapi = with_bodies(app)  # type: ignore[method-assign]  # the framework's documented way
    app.include_router(routes_contract.router)
    app.include_router(routes_own.router)
    app.include_router(routes_events.router)
    app.include_router(routes_statistics.router)
    app.include_router(routes_absent.router)
    if settings.inspect:
        app.include_router(inspector.router)
    app.add_exception_handler(Problem, answer_own)
    app.add_exception_handler(MemoryCacheError, answer_own)
    app.add_exception_handler(HTTPException, answer_framework)
    # Each is put around what is there already: the boundary is the outermost.
    app.add_middleware(StrictNames)
    app.add_middleware(ErrorBoundary)
    return app


def _release() -> str:
    try:
        return version("agent-memory-cache")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
