"""
How users call the library, as a type checker sees it.

mypy reads this file; nothing runs it, but a test that imports it. A public signature that a
user could not call like this, or whose result is not what is written here, fails the check.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_type

from memory_cache import (
    ABSENT,
    BOUNDED,
    NEWEST,
    UNCHANGED,
    CacheConfig,
    Change,
    Consistency,
    ContractMessage,
    InvalidInputError,
    MemoryCacheError,
    Page,
    Session,
    SessionCache,
    SessionKey,
    SessionList,
    Statistics,
    StoreError,
    Tier,
    Version,
    VersionMismatchError,
    at_least,
    open_cache,
    parse_json,
    session_key,
    token_counter,
)


async def first_steps() -> None:
    """Open a cache, write and read."""
    async with open_cache("redis://localhost:6379") as cache:
        assert_type(cache, SessionCache)
        chat = cache.session("chat-1", namespace="acme", user_id="u7")
        assert_type(chat, Session)
        assert_type(await chat.append({"role": "user", "content": "hi"}), Change)
        assert_type(await chat.recent(20), Page)


async def settings() -> None:
    """Settings are plain, frozen, and changed by replacing."""
    name, count = token_counter()
    assert_type(name, str)
    assert_type(count, Callable[[str], int])
    config = replace(CacheConfig(staleness_seconds=0.5), count_tokens=count)
    async with open_cache(config=config) as cache:
        assert_type(cache.statistics(), Statistics)
        assert_type(cache.statistics().suspects, dict[str, int])


async def reading(chat: Session) -> None:
    """Every way to read."""
    assert_type(chat.peek(20), Page | None)
    page = await chat.recent(20, consistency=BOUNDED, by_created_at=True)
    assert_type(page.messages, list[dict[str, Any]])
    assert_type(page.fields, dict[str, Any])
    assert_type(page.json, bytes)
    assert_type(page.view_json, bytes)
    assert_type(page.version, Version | None)
    assert_type(page.ttl_seconds, int | None)
    assert_type(page.token_counts, tuple[int, ...] | None)
    assert_type(page.fit(1000), Page)
    assert_type(page.tier, Tier)
    assert_type(page.key, SessionKey)
    numbers: list[int] = [page.start, page.end, page.first, page.next, page.token_count]
    numbers += [page.created_at, page.updated_at, page.exists]
    assert_type(await chat.page(before=page.start, limit=50), Page)
    assert_type(await chat.page(after=numbers[0], consistency=NEWEST), Page)
    assert_type(await chat.transcript(), Page)
    assert_type(await chat.window(4000), Page)
    async for message in chat:
        assert_type(message, dict[str, Any])


async def consistency(chat: Session, other: Session, header: str) -> None:
    """A version travels as itself or as text."""
    change = await chat.append({"role": "user", "content": "hi"})
    assert_type(change.version, Version | None)
    if change.version is not None:
        assert_type(at_least(change.version), Consistency)
        await other.recent(1, consistency=at_least(change.version))
        await chat.pop(if_version=change.version)
    await other.transcript(consistency=at_least(header))
    await chat.delete(if_version=header)


async def changing(chat: Session, messages: Sequence[Mapping[str, object]]) -> None:
    """Every way to write."""
    assert_type(await chat.append(messages, operation_id="op-1", ttl_seconds=3600), Change)
    assert_type(await chat.append([{"a": 1}], if_version=ABSENT), Change)
    assert_type(await chat.pop(operation_id="op-2"), dict[str, Any] | None)
    assert_type(await chat.replace(messages), Change)
    assert_type(await chat.replace(messages, {"context": "c"}, ttl_seconds=None), Change)
    assert_type(await chat.set_fields({"context": None}), Change)
    await chat.set_fields({}, ttl_seconds=None)
    await chat.set_fields({}, ttl_seconds=UNCHANGED)
    await chat.set_fields({}, ttl_seconds=60, if_version=ABSENT, operation_id="op-3")
    sent = [ContractMessage("user", "hi"), ContractMessage(role="user", content="there", id="x")]
    change, page = await chat.put(sent, {"context": "c"}, ttl_seconds=None)
    assert_type(change, Change)
    assert_type(page, Page)
    deleted = await chat.delete(operation_id="op-4")
    assert_type(deleted.existed, bool)
    assert_type((deleted.start, deleted.end, deleted.token_count), tuple[int, int, int])


async def listing(cache: SessionCache) -> None:
    """Sessions by activity, and by id."""
    listed = await cache.list_sessions(namespace="acme", limit=20, offset=0, newest_first=True)
    assert_type(listed, SessionList)
    assert_type(listed.total, int)
    for key in listed.sessions:
        namespace, user_id, session_id = key
        assert_type(cache.session(session_id, namespace=namespace, user_id=user_id), Session)
    assert_type(await cache.find("chat-1", user_id="u7"), tuple[SessionKey, ...])
    assert_type(session_key("chat-1", "acme"), SessionKey)


async def failing(call: Callable[[], Awaitable[object]]) -> str:
    """Errors say what was applied, and where the fault is."""
    try:
        await call()
    except StoreError as error:
        return f"{error.reason}: {error.applied}"
    except VersionMismatchError as error:
        return error.current or "gone"
    except InvalidInputError as error:
        return f"{error.field} {error.reason}"
    except MemoryCacheError as error:
        return error.code
    return str(parse_json(b"{}", max_depth=8))
