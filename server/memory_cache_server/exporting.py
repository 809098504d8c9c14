"""`memory-cache export`: sessions as lines of JSON, which `memory-cache import` reads."""

from collections.abc import AsyncGenerator
from typing import Final

import orjson

from memory_cache import NEWEST, Page, Session
from memory_cache_server.importing.jsonl import END, MESSAGE, SESSION
from memory_cache_server.looking import document

_PAGE: Final = 500
_TRIES: Final = 3


async def lines(session: Session) -> AsyncGenerator[bytes]:
    """
    Yield the lines of a session as it is at one moment; nothing if it does not exist.

    What is edited meanwhile is abandoned in a last line of its own, and begun again; the third
    time is the last.
    """
    for left in reversed(range(_TRIES)):
        head = await session.recent(0, consistency=NEWEST)
        if not head.exists:
            return
        about = {**document(head), "fields": head.fields}
        yield SESSION + orjson.dumps(about) + b"}\n"
        whole = False
        async for chunk in _messages(session, head):
            whole = not chunk
            if chunk:
                yield chunk
        if whole:
            yield END + orjson.dumps({"messages": head.next - head.first}) + b"}\n"
            return
        yield END + orjson.dumps({"abandoned": True, "again": left > 0}) + b"}\n"


async def _messages(session: Session, head: Page) -> AsyncGenerator[bytes]:
    """Yield messages as lines, and at the end, if all were of one state, an empty text."""
    seq = head.first
    while seq < head.next:
        limit = min(_PAGE, head.next - seq)
        page = await session.page(after=seq - 1, limit=limit, consistency=NEWEST)
        if page.end == seq or _edition(page) != _edition(head):
            return
        texts = b"\n".join(page.bodies).split(b"\n")
        yield b"".join(MESSAGE + text + b"}\n" for text in texts)
        seq = page.end
    yield b""


def _edition(page: Page) -> tuple[str, int] | None:
    """Return what stays while messages are only added."""
    return (page.header.inc, page.header.edits) if page.header else None
