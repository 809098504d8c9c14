"""Documents of agent-memory-server: what they mean here, and what of them is not kept."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from memory_cache import InvalidInputError, InvalidNameError, parse_json, session_key
from memory_cache_server.contract_input import checked_messages, fields_of
from memory_cache_server.errors import Problem
from memory_cache_server.importing.found import Document, Refused
from memory_cache_server.schemas import MemoryRecord, Message, PutSession, Strategy
from memory_cache_server.settings import Settings

MOST_REMARKS: Final = 5

_ANSWERED_ONLY: Final = {
    "session_id",
    "context_percentage_total_used",
    "context_percentage_until_summarization",
    "new_session",
    "unsaved",
}
"""What a document has beside what a PUT gives: its name, and what is computed for an answer."""


def parse(raw: bytes, name: str) -> dict[str, Any] | Refused:
    """Parse a document; one that JSON would not keep unchanged is refused."""
    try:
        document = parse_json(raw)
    except InvalidInputError as error:
        return Refused(name, f"{error.field} {error.reason}")
    if not isinstance(document, dict):
        return Refused(name, "is JSON, but no object")
    return document


def understood(
    document: Mapping[str, Any], name: str, session_id: str, settings: Settings
) -> Document | Refused:
    """Return what a document means; ``session_id``: its name if it does not say one."""
    try:
        body = PutSession.model_validate(_dated(document))
        messages = checked_messages(body.messages, settings)
        for at, memory in enumerate(body.memories):
            if "id" not in memory.model_fields_set:
                return Refused(name, f"memories[{at}] has no id")
        session_id = str(document.get("session_id") or session_id)
        key = session_key(session_id, body.namespace, body.user_id)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        return Refused(name, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    except Problem as problem:
        return Refused(name, _reason(problem))
    except InvalidNameError as error:
        return Refused(name, str(error))
    return Document(
        name=name,
        key=key,
        messages=messages,
        fields=fields_of(body),
        ttl_seconds=body.ttl_seconds,
        remarks=list(_remarks(document)),
    )


def _dated(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return a document whose memories have the times that old releases left out.

    Those of the document, for what a PUT makes up is another one each time it is asked.
    """
    memories = document.get("memories")
    if not isinstance(memories, list):
        return document
    time = document.get("updated_at") or document.get("created_at") or 0
    times = dict.fromkeys(("last_accessed", "created_at", "updated_at"), time)
    dated = [{**times, **each} if isinstance(each, dict) else each for each in memories]
    return {**document, "memories": dated}


def _reason(problem: Problem) -> str:
    if isinstance(problem.detail, str):
        return problem.detail
    first = problem.detail[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return f"{where}: {first['msg']}"


def _remarks(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a document says that no session here can keep."""
    unknown = list(_unknown(document, PutSession, _ANSWERED_ONLY, ""))
    for part, model in (("messages", Message), ("memories", MemoryRecord)):
        for at, each in enumerate(document.get(part) or ()):
            unknown += _unknown(each, model, set(), f"{part}[{at}].")
    strategy = document.get("long_term_memory_strategy") or {}
    unknown += _unknown(strategy, Strategy, set(), "long_term_memory_strategy.")
    for name in unknown[:MOST_REMARKS]:
        yield f"{name} is not kept"
    if len(unknown) > MOST_REMARKS:
        yield f"and {len(unknown) - MOST_REMARKS} more are not kept"


def _unknown(
    value: Mapping[str, Any], model: type[BaseModel], more: set[str], where: str
) -> Iterator[str]:
    known = model.model_fields.keys() | more
    return (f"{where}{name}" for name in value if name not in known)
