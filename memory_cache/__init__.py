"""
Working memory for LLM agents: an in-process near cache in front of a segmented Redis store.

    async with open_cache("redis://localhost:6379") as cache:
        chat = cache.session("chat-1", namespace="acme", user_id="u7")
        await chat.append({"role": "user", "content": "hi"})
        recent = await chat.recent(20)

The general layout, from the bottom up: the vocabulary (``_types``), pure parts (``_ring``,
``_blocks``, ``_coherence`` …), the ports (``_ports``), the near cache and Redis, the listener
between them, the paths (``_reads``, ``_writes``, ``_put``), and these names.
"""

from memory_cache._config import CacheConfig
from memory_cache._errors import (
    CacheClosedError,
    DamagedSessionError,
    IncompatibleStoreError,
    InvalidInputError,
    InvalidJsonError,
    InvalidNameError,
    MemoryCacheError,
    NearCacheOffError,
    OperationReusedError,
    ScopeNeededError,
    StoreError,
    StoreTimeoutError,
    TooLargeError,
    TranscriptEditedError,
    VersionLostError,
    VersionMismatchError,
    VersionTimeoutError,
)
from memory_cache._events import SessionEvent, SessionEventKind
from memory_cache._json import parse_json
from memory_cache._names import session_key
from memory_cache._open import cache_over, open_cache
from memory_cache._page import Page, SessionList
from memory_cache._ports import Bus, BusHandler, Clock, Store
from memory_cache._put import Known
from memory_cache._session import Session, SessionCache
from memory_cache._stats import Statistics
from memory_cache._times import read_time, time_text
from memory_cache._tokens import token_counter
from memory_cache._types import (
    BOUNDED,
    NEWEST,
    Consistency,
    Header,
    SessionKey,
    Tier,
    Version,
    at_least,
)
from memory_cache._view import ContractMessage
from memory_cache._wishes import ABSENT, UNCHANGED, IfVersion
from memory_cache._writes import Change

__all__ = [  # noqa: RUF022  # grouped by what one does with them
    # Open a cache, and what it is made of.
    "CacheConfig",
    "Session",
    "SessionCache",
    "SessionKey",
    "SessionList",
    "Statistics",
    "cache_over",
    "open_cache",
    "session_key",
    # Put it over a store, bus and clock of your own: memory_cache.testing has some.
    "Bus",
    "BusHandler",
    "Clock",
    "Store",
    # Read.
    "BOUNDED",
    "NEWEST",
    "Consistency",
    "Header",
    "Page",
    "Tier",
    "Version",
    "at_least",
    # Follow.
    "SessionEvent",
    "SessionEventKind",
    # Change.
    "ABSENT",
    "UNCHANGED",
    "Change",
    "ContractMessage",
    "IfVersion",
    "Known",
    "parse_json",
    "read_time",
    "time_text",
    "token_counter",
    # What may go wrong.
    "CacheClosedError",
    "DamagedSessionError",
    "IncompatibleStoreError",
    "InvalidInputError",
    "InvalidJsonError",
    "InvalidNameError",
    "MemoryCacheError",
    "NearCacheOffError",
    "OperationReusedError",
    "ScopeNeededError",
    "StoreError",
    "StoreTimeoutError",
    "TooLargeError",
    "TranscriptEditedError",
    "VersionLostError",
    "VersionMismatchError",
    "VersionTimeoutError",
]
