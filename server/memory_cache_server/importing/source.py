"""From what a user calls a source to the source."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from memory_cache import session_key
from memory_cache_server.importing.agent_memory_http import AgentMemoryHttp
from memory_cache_server.importing.agent_memory_redis import AgentMemoryRedis
from memory_cache_server.importing.found import Source, SourceError
from memory_cache_server.importing.jsonl import JsonLines
from memory_cache_server.importing.layouts import AGENT_MEMORY
from memory_cache_server.importing.lists import LAYOUTS, Lists
from memory_cache_server.importing.wire import SCHEMES, Address, SourceRedis
from memory_cache_server.settings import Settings


@contextmanager
def opened(
    where: str,
    settings: Settings,
    *,
    layout: str = AGENT_MEMORY,
    namespace: str | None = None,
    key_prefix: str | None = None,
    token: str | None = None,
) -> Iterator[Source]:
    """
    Give a source: a Redis URL (of this layout), the URL of a server, a path, or ``-``.

    Raises:
        SourceError: it cannot be one.
        InvalidNameError: the namespace cannot be one.
    """
    session_key("any", namespace)
    if not (key_prefix or "").isprintable():
        raise SourceError("--key-prefix must be printable text")
    scheme = where.partition("://")[0] if "://" in where else ""
    of_redis = layout != AGENT_MEMORY or key_prefix is not None
    if scheme in SCHEMES:
        redis = SourceRedis(Address.parse(where))
        if layout == AGENT_MEMORY:
            yield AgentMemoryRedis(redis, settings, namespace, key_prefix)
        else:
            chosen = LAYOUTS[layout]
            if key_prefix is not None:
                chosen = replace(chosen, prefix=key_prefix)
            yield Lists(redis, chosen, namespace)
    elif of_redis:
        raise SourceError("--layout and --key-prefix are for a Redis: redis://host:6379")
    elif scheme in {"http", "https"}:
        yield AgentMemoryHttp(where, settings, namespace, token)
    elif scheme:
        known = ", ".join(f"{name}://" for name in (*SCHEMES, "http", "https"))
        raise SourceError(f"the source must be a path, or begin with one of {known}")
    elif not where:
        raise SourceError("the source has no name")
    elif where == "-":
        # It is read more than once.
        with tempfile.NamedTemporaryFile() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.flush()
            yield JsonLines(Path(copy.name), namespace)
    else:
        yield JsonLines(Path(where), namespace)
