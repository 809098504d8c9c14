"""
A conversation of Pydantic AI as the lines of a log, and how a history is found in one.

A line is an entry, or the record that holds until the next one.
"""

from typing import Any, Final

import orjson
from pydantic import TypeAdapter
from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
from pydantic_ai.messages import ModelMessagesTypeAdapter

from memory_cache import NEWEST, Page, Session
from memory_cache.adapters._carrier import packed
from memory_cache.adapters._pydantic_ai_values import dumped, filled, named

_RECORD: Final = TypeAdapter(ConversationRecord)
_FIRST_READ: Final = 64

Line = dict[str, Any]
"""An entry as it is stored; or ``{"record": …}``."""


async def history(log: Session, head_id: str, limit: int | None) -> list[Line] | None:
    """Return the last entries of a log up to one, read as far back as need be; None: not in it."""
    ask = _FIRST_READ if limit is None else max(_FIRST_READ, 2 * limit)
    while True:
        page = await (log.recent(ask, consistency=NEWEST) if limit else log.transcript())
        held = {line["id"]: line for line in page.messages if "record" not in line}
        chain: list[Line] = []
        at: str | None = packed({"id": head_id})["id"]  # as a line has it
        while at in held and len(chain) != limit:
            chain.append(held[at])
            at = held[at]["parent_id"]
        if at is None or len(chain) == limit:
            return chain[::-1]
        if page.start == page.first:
            return None
        ask *= 4


def line_of(entry: ConversationEntry) -> Line:
    """Return an entry as it is stored."""
    (message,) = dumped(ModelMessagesTypeAdapter, [entry.message])
    line = {"id": entry.id, "parent_id": entry.parent_id, "kind": entry.kind, "message": message}
    return packed(line)


def entries_of(lines: list[Line]) -> list[ConversationEntry]:
    """Return the entries that were stored."""
    plain, values = named(lines)
    messages = ModelMessagesTypeAdapter.validate_json(orjson.dumps([x["message"] for x in plain]))
    entries = [
        ConversationEntry(**(line | {"message": message}))
        for line, message in zip(plain, messages, strict=True)
    ]
    return [filled(entry, values) for entry in entries]


def record_line(record: ConversationRecord) -> Line:
    """Return a record as it is stored."""
    return packed({"record": dumped(_RECORD, record)})


def record_of(page: Page) -> ConversationRecord | None:
    """Return the record at the end of a log; None: there is no log."""
    if not page.bodies:
        return None
    (line,), values = named(page.messages[-1:])
    record: ConversationRecord = filled(_RECORD.validate_json(orjson.dumps(line["record"])), values)
    return record
