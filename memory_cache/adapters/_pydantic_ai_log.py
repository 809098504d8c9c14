"""
A conversation of Pydantic AI as the lines of a log, and how a history is found in one.

A line is an entry, or the record that holds until the next one.
"""

from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
from pydantic_ai.messages import ModelMessagesTypeAdapter

from memory_cache import NEWEST, Page, Session
from memory_cache.adapters._carrier import packed
from memory_cache.adapters._pydantic_ai_values import dumped, filled, named
from memory_cache.adapters._reading import reading

_RECORD: Final = TypeAdapter(ConversationRecord)
_FIRST_READ: Final = 64
_WHAT: Final = "a conversation of Pydantic AI"

Line = dict[str, Any]
"""An entry as it is stored; or ``{"record": …}``."""


async def history(log: Session, head_id: str, limit: int | None) -> list[Line] | None:
    """
    Return the last entries of a log up to one, read as far back as need be; None: not in it.

    Raises:
        DamagedSessionError: it is no log of a conversation, or what comes before is not in it.
    """
    ask = _FIRST_READ if limit is None else max(_FIRST_READ, 2 * limit)
    while True:
        page = await (log.recent(ask, consistency=NEWEST) if limit else log.transcript())
        with reading(_WHAT):
            chain, at = _chain(page.messages, packed({"id": head_id})["id"], limit)
            if at is None or len(chain) == limit:
                return chain[::-1]
            if page.start == page.first:
                if chain:
                    raise LookupError
                return None
        ask *= 4


def _chain(lines: list[Line], head_id: str, limit: int | None) -> tuple[list[Line], str | None]:
    """Return entries from one back, and the id of what comes before them; None: nothing does."""
    held = {_id_of(line): line for line in lines if "record" not in line}
    chain: list[Line] = []
    at: str | None = head_id  # as a line has it
    while at in held and len(chain) != limit:
        if len(chain) == len(held):
            raise ValueError  # they go round in a ring
        chain.append(held[at])
        at = held[at]["parent_id"]
    return chain, at


def _id_of(line: Line) -> str:
    """Return the id of an entry as it is stored; ``TypeError``: it has none."""
    if isinstance(line["id"], str) and isinstance(line["parent_id"], str | None):
        return line["id"]
    raise TypeError


def line_of(entry: ConversationEntry) -> Line:
    """Return an entry as it is stored."""
    (message,) = dumped(ModelMessagesTypeAdapter, [entry.message])
    line = {"id": entry.id, "parent_id": entry.parent_id, "kind": entry.kind, "message": message}
    return packed(line)


def entries_of(lines: list[Line]) -> list[ConversationEntry]:
    """Return the entries that were stored."""
    with reading(_WHAT):
        plain = named(lines)
        text = plain.json([line["message"] for line in plain.lines])
        messages = ModelMessagesTypeAdapter.validate_json(text)
        entries = [
            ConversationEntry(**(line | {"message": message}))
            for line, message in zip(plain.lines, messages, strict=True)
        ]
        return [filled(entry, plain.values) for entry in entries]


def record_line(record: ConversationRecord) -> Line:
    """Return a record as it is stored."""
    return packed({"record": dumped(_RECORD, record)})


def record_of(page: Page) -> ConversationRecord | None:
    """
    Return the record at the end of a log; None: there is no log.

    Raises:
        DamagedSessionError: it does not end in the record of this conversation.
    """
    if not page.bodies:
        return None
    with reading(_WHAT):
        plain = named(page.messages[-1:])
        (line,) = plain.lines
        found = _RECORD.validate_json(plain.json(line["record"]))
        record: ConversationRecord = filled(found, plain.values)
        # Each has a default that is another one at each read.
        if not {"revision", "updated_at"} <= line["record"].keys():
            raise LookupError
        if record.conversation_id != page.key.session_id:
            raise ValueError
        return record
