"""Sessions as a person looks at them: found by name, listed, shown."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from memory_cache import Page, Session, SessionCache, SessionKey
from memory_cache_server.message_text import Kind, clean, said
from memory_cache_server.rendering import micros_text

MOST: Final = 1000
_AT_ONCE: Final = 32
_STYLES: Final[dict[Kind, str]] = {
    "text": "",
    "call": "cyan",
    "result": "green",
    "other": "dim",
}
_MARKS: Final[dict[Kind, str]] = {"text": "", "call": "→ ", "result": "← ", "other": ""}
_ROLE_STYLES: Final = {"user": "bold yellow", "assistant": "bold blue", "system": "bold magenta"}


class NotFoundError(Exception):
    """No session, or more than one, is meant; says which there are."""


async def named(
    cache: SessionCache, session_id: str, namespace: str | None, user_id: str | None
) -> Session:
    """
    Return the session of just this name, else the one that has this id in what is given of a scope.

    Raises:
        NotFoundError: there is none, or more than one.
    """
    exact = cache.session(session_id, namespace=namespace, user_id=user_id)
    found = await cache.find(session_id, namespace=namespace, user_id=user_id)
    if exact.key in found:
        return exact
    if len(found) == 1:
        return handle(cache, found[0])
    if not found:
        raise NotFoundError(f"there is no session {clean(session_id)} of this name")
    scopes = "; ".join(scope(key) for key in found)
    raise NotFoundError(f"several sessions have the id {clean(session_id)}: {scopes}")


def handle(cache: SessionCache, key: SessionKey) -> Session:
    """Return the handle of a session that is listed."""
    return cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)


def scope(key: SessionKey) -> str:
    """Return the flags that name a scope."""
    flags = (("--namespace", key.namespace), ("--user-id", key.user_id))
    return " ".join(f"{flag} {clean(name)}" for flag, name in flags if name) or "without a scope"


async def heads(cache: SessionCache, keys: Sequence[SessionKey]) -> list[Page]:
    """Return the sessions of these names that are there, without their messages."""
    pages: list[Page] = []
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        pages += await asyncio.gather(*(handle(cache, key).recent(0) for key in some))
    return [page for page in pages if page.exists]


async def every(
    cache: SessionCache, namespace: str | None, user_id: str | None
) -> AsyncGenerator[SessionKey]:
    """
    Yield all sessions of a scope, each once, in pages: it is no snapshot.

    One that is used meanwhile moves to the front, and is met twice rather than missed.
    """
    seen: set[SessionKey] = set()
    for offset in count(0, MOST):
        page = await cache.list_sessions(
            namespace=namespace, user_id=user_id, limit=MOST, offset=offset
        )
        for key in page.sessions:
            if key not in seen:
                seen.add(key)
                yield key
        if offset + MOST >= page.total:
            return


def document(page: Page) -> dict[str, Any]:
    """Return what a session is, without its messages."""
    return {
        "namespace": page.key.namespace or None,
        "user_id": page.key.user_id or None,
        "session_id": page.key.session_id,
        "messages": page.next - page.first,
        "bytes": page.header.size if page.header else 0,
        "token_count": page.token_count,
        "ttl_seconds": page.ttl_seconds,
        "created_at": micros_text(page.created_at),
        "updated_at": micros_text(page.updated_at),
        "version": str(page.version),
    }


def table(pages: Sequence[Page]) -> Table:
    """Return sessions as a table."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("session", "namespace", "user"):
        made.add_column(name, overflow="fold")
    for name in ("messages", "tokens", "bytes", "ttl"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("changed", no_wrap=True)
    for page in pages:
        made.add_row(
            *(Text(clean(name)) for name in (page.key.session_id, page.key.namespace)),
            Text(clean(page.key.user_id)),
            f"{page.next - page.first:,}",
            f"{page.token_count:,}",
            f"{page.header.size if page.header else 0:,}",
            "" if page.ttl_seconds is None else f"{page.ttl_seconds:,} s",
            moment(page.updated_at),
        )
    return made


def headline(page: Page) -> RenderableType:
    """Return what a session is, and its fields, before its messages."""
    lines = [Text(clean(page.key.session_id), style="bold")]
    known = document(page)
    lines += [
        Text(f"{name}  {clean(str(known[name]))}", style="dim")
        for name in ("namespace", "user_id", "messages", "token_count", "ttl_seconds", "version")
        if known[name] is not None
    ]
    for name, value in page.fields.items():
        if value not in (None, [], {}):
            lines.append(Text(f"{clean(name)}  {clean(str(value))}", style="dim"))
    return Group(*lines)


def rendered(seq: int, message: dict[str, Any], created_at: int | None = None) -> RenderableType:
    """Return a message: who, when, and what was said, called and answered."""
    what = said(message)
    head = Text()
    head.append(f"{seq:>6}  ", style="dim")
    head.append(what.role, style=_ROLE_STYLES.get(what.role, "bold green"))
    if created_at is not None:
        head.append(f"  {moment(created_at)}", style="dim")
    body = Text("\n").join(
        Text(f"{_MARKS[kind]}{text}", style=_STYLES[kind]) for kind, text in what.parts
    )
    return Group(head, Padding(body, (0, 0, 0, 8)))


def moment(micros: int) -> str:
    """Return a time as it is here, to the second."""
    return datetime.fromtimestamp(micros / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
