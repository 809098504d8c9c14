"""
The messages of a LlamaIndex chat, and which of them are archived.

A session holds the messages; the archived ones are ranges of seqs in one of its fields.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base_db import MessageStatus

from memory_cache import NEWEST, Page, Session
from memory_cache.adapters._carrier import packed, unpacked
from memory_cache.adapters._reading import reading

_FIRST_READ: Final = 64
FIELD: Final = "archived"
"""Where a session has the ranges."""

Entry = tuple[dict[str, Any], bool]
"""A message, and whether it is archived."""


async def read(chat: Session, status: MessageStatus | None) -> Page:
    """Return all messages, or if active ones are asked for, at least all of those."""
    if status is not MessageStatus.ACTIVE:
        return await chat.transcript()
    ask = _FIRST_READ
    while True:
        page = await chat.recent(ask, consistency=NEWEST)
        ranges = ranges_of(page)
        begin = ranges[0][1] if ranges and ranges[0][0] == page.first else page.first
        if page.start <= begin:
            return page
        ask = page.next - begin


def ranges_of(page: Page) -> list[tuple[int, int]]:
    """
    Return the seqs that are archived, in order.

    Raises:
        DamagedSessionError: they are no ranges of these messages.
    """
    found, last = list[tuple[int, int]](), page.first
    with reading("which messages LlamaIndex has archived"):
        for start, end in page.fields.get(FIELD, []):
            if not (type(start) is type(end) is int and last <= start < end <= page.next):
                raise ValueError
            found.append((start, end))
            last = end
    return found


def joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges in order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and found[-1][1] == start:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def entries_of(page: Page) -> list[Entry]:
    """Return the entries of a page."""
    archived = set(itertools.chain.from_iterable(itertools.starmap(range, ranges_of(page))))
    return [(each, seq in archived) for seq, each in enumerate(page.messages, page.start)]


def has(status: MessageStatus | None, *, archived: bool) -> bool:
    """Whether a message, archived or not, is among those of a status."""
    return status is None or archived is (status is MessageStatus.ARCHIVED)


def dumped(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return messages as they are stored."""
    return [packed(message.model_dump(mode="json")) for message in messages]


def parsed(messages: Sequence[dict[str, Any]]) -> list[ChatMessage]:
    """Return the messages that were stored."""
    with reading("messages of LlamaIndex"):
        return [ChatMessage.model_validate(unpacked(message)) for message in messages]
