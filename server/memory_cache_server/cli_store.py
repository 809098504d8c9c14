"""The store that the commands on sessions work on: the one that a server here uses."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from memory_cache import CacheConfig, SessionCache, open_cache, token_counter
from memory_cache_server.settings import Settings
from memory_cache_server.socket_path import short_path


class NoStoreError(Exception):
    """There is no store to work on; says what to do."""


def store_url(settings: Settings) -> str:
    """
    Return where the store is.

    Raises:
        NoStoreError: none is named, and no server runs on the data directory.
    """
    if settings.redis_url is not None:
        return settings.redis_url
    folder = settings.data_dir.expanduser().absolute()
    if not (folder / "valkey.sock").exists():
        raise NoStoreError(
            f"no store: start `memory-cache serve`, whose Valkey would be in {folder}, or give a"
            " --redis-url"
        )
    return f"unix://{short_path(folder / 'valkey.sock')}"


@asynccontextmanager
async def store(
    settings: Settings, *, near: bool = False, counting: bool = False
) -> AsyncIterator[SessionCache]:
    """
    Give the sessions of the store.

    ``near``: with a near cache, for who follows; ``counting``: tokens are counted as a server
    counts them, for who writes.

    Raises:
        NoStoreError: as `store_url`; or its URL cannot be read.
        StoreError, IncompatibleStoreError: as `open_cache`.
    """
    config = CacheConfig(
        near_cache_bytes=CacheConfig().near_cache_bytes if near else 0,
        max_message_bytes=settings.max_message_bytes,
        max_session_bytes=settings.max_session_bytes,
        max_future_seconds=settings.max_future_timestamp_seconds,
        store_timeout_seconds=settings.store_timeout_seconds,
        resend_seconds=max(60.0, 8 * settings.store_timeout_seconds),
        prefix=settings.prefix,
        count_tokens=token_counter()[1] if counting else None,
    )
    url = store_url(settings)
    async with AsyncExitStack() as stack:
        try:
            cache = await stack.enter_async_context(open_cache(url, config=config))
        except (ValueError, TypeError):
            # What it says of the URL may be a part of the password.
            raise NoStoreError(
                "no store: the host, the port or an option of the Redis URL cannot be one"
            ) from None
        yield cache
