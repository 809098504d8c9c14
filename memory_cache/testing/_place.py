"""Where the checks of the contract run, and what they write."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from memory_cache._blocks import layout
from memory_cache._config import CacheConfig
from memory_cache._ports import Bus, Condition, Operation, Rewrite, Span, Store, Terms
from memory_cache._types import Meta, SessionKey, StoredMessage

E = TypeVar("E", bound=Exception)


class Ports(Protocol):
    """Store and bus of one worker."""

    @property
    def store(self) -> Store:
        """The worker's store."""

    @property
    def bus(self) -> Bus:
        """The worker's bus."""


@dataclass(frozen=True, slots=True)
class Place:
    """
    A server to be checked.

    ``open`` connects one worker more to it, with the limits of a config, until its block
    ends. ``flush`` makes the server lose everything without telling anybody. ``elapse`` lets
    seconds pass for the server.
    """

    open: Callable[[CacheConfig], AbstractAsyncContextManager[Ports]]
    flush: Callable[[], Awaitable[None]]
    elapse: Callable[[float], Awaitable[None]] = asyncio.sleep


Check = Callable[[Place], Coroutine[Any, Any, None]]
"""One promise: raises AssertionError where it is not kept. Its docstring is the promise."""

KEEP_MS = 60_000


def fresh_key(namespace: str = "", user_id: str = "") -> SessionKey:
    """Return the name of a session that nobody has used."""
    return SessionKey(namespace, user_id, f"check-{secrets.token_hex(6)}")


def terms(
    *,
    operation: str | None = None,
    fingerprint: str = "print",
    keep_ms: int = KEEP_MS,
    condition: Condition | None = None,
    ttl_ms: int | None = None,
    create: bool = True,
    note: bytes = b"",
    put_record: bytes = b"",
) -> Terms:
    """Return terms of an attempt with a tag of its own."""
    name = operation or secrets.token_hex(8)
    return Terms(
        tag=secrets.token_hex(8),
        operation=Operation(name, fingerprint, keep_ms),
        condition=condition,
        ttl_ms=ttl_ms,
        create=create,
        note=note,
        put_record=put_record,
    )


def again(first: Terms) -> Terms:
    """Return another attempt at the same operation."""
    return replace(first, tag=secrets.token_hex(8))


def message(number: int, *, own_view: bool = True, size: int = 0) -> StoredMessage:
    """Return a message that says which it is, some bytes larger than need be."""
    body = f'{{"n":{number},"text":"é{"x" * size}"}}'.encode()
    kept_id = "" if own_view else f"id {number}"
    return StoredMessage(body, Meta(own_view, number % 7, 1_000_000 + number, kept_id))


def messages(start: int, end: int, *, own_view: bool = True) -> list[StoredMessage]:
    """Return messages ``[start, end)``."""
    return [message(number, own_view=own_view) for number in range(start, end)]


def whole(sent: list[StoredMessage], first: int = 0) -> Rewrite:
    """Return the edit after which a session holds just these, from seq ``first`` on."""
    pairs, newest = layout(first, sent, 0)
    return edit(sent, first=first, gone=[], pairs=pairs, newest=newest, drop_all=True)


def edit(
    sent: list[StoredMessage],
    *,
    gone: list[str],
    pairs: list[tuple[str, bytes]],
    newest: int,
    first: int = 0,
    drop_all: bool = False,
    scattered: bool = False,
) -> Rewrite:
    """Return an edit after which a session holds ``sent`` in all."""
    return Rewrite(
        whole=drop_all,
        gone=gone,
        pairs=pairs,
        first=first,
        next=first + len(sent),
        size=sum(len(one.body) for one in sent),
        token_count=sum(one.meta.tokens for one in sent),
        max_created=newest,
        start=first,
        end=first + len(sent),
        scattered=scattered,
    )


async def stored(store: Store, key: SessionKey) -> list[StoredMessage]:
    """Return the whole transcript of a session that exists."""
    span = await store.tail(key, 1_000_000)
    assert span is not None, "there is no session"
    assert_run(span, span.header.first, span.header.next)
    return span.messages


def assert_run(span: Span, start: int, end: int) -> None:
    """Assert that a span covers ``[start, end)`` of its session."""
    assert span.start <= start, "begins too late"
    assert span.start + len(span.messages) >= end, "ends too early"


async def refused(call: Awaitable[object], error: type[E]) -> E:
    """Return the error that a call raises."""
    try:
        await call
    except error as raised:
        return raised
    raise AssertionError(f"{error.__name__} was not raised")
