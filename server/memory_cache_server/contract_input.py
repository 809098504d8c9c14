"""From what clients of the contract send to what the library keeps."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from memory_cache import ContractMessage
from memory_cache_server.errors import Fault, Problem, fault, invalid
from memory_cache_server.schemas import Message, PatchSession, PutSession, zoned
from memory_cache_server.settings import Settings

DEPRECATION_WARNING = (
    "messages[].created_at will become required in the next major version."
    " Please provide timestamps for all messages."
)

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def checked_messages(messages: Iterable[Message], settings: Settings) -> list[ContractMessage]:
    """
    Return the messages as the library takes them.

    Raises:
        Problem: 422 for times that may not be; 400 for a content that says nothing.
    """
    latest = datetime.now(UTC) + timedelta(seconds=settings.max_future_timestamp_seconds)
    faults: list[Fault] = []
    taken = []
    blank = None
    for index, message in enumerate(messages):
        given = message.model_fields_set
        created_at = zoned(message.created_at) if "created_at" in given else None
        persisted_at = message.persisted_at
        reason = _wrong_time(created_at, latest, settings)
        if reason:
            faults.append(fault("value_error", ["body", "messages", index], reason, error={}))
        if blank is None and not message.content.strip():
            blank = message.id if "id" in given else f"none, at index {index}"
        taken.append(
            ContractMessage(
                role=message.role,
                content=message.content,
                id=message.id if "id" in given else None,
                created_at=None if created_at is None else time_text(created_at),
                persisted_at=None if persisted_at is None else time_text(zoned(persisted_at)),
                extracted=message.discrete_memory_extracted,
            )
        )
    if faults:
        raise invalid(faults)
    if blank is not None:
        detail = f"Message content cannot be empty (message ID: {blank})"
        raise Problem(400, "empty_content", "Empty content", detail)
    return taken


def fields_of(body: PutSession | PatchSession) -> dict[str, Any]:
    """
    Return the fields of a session, as kept.

    Of a PUT all; of a PATCH those that were given, None for those to clear.
    """
    given = body.model_fields_set
    names = _FIELDS if isinstance(body, PutSession) else _FIELDS & given
    # Not made up where it was not given, or equal PUTs would differ; readers get updated_at.
    names -= {"last_accessed"} - given
    kept: dict[str, Any] = body.model_dump(mode="json", include=set(names))
    return kept


def time_text(moment: datetime) -> str:
    """Return the contract's text of a time with a zone."""
    return moment.isoformat().replace("+00:00", "Z")


_FIELDS = frozenset(
    {"memories", "data", "context", "tokens", "long_term_memory_strategy", "last_accessed"}
)


def _wrong_time(created_at: datetime | None, latest: datetime, settings: Settings) -> str | None:
    if created_at is None:
        if not settings.require_message_timestamps:
            return None
        return (
            "Value error, created_at is required for messages."
            " Please provide the timestamp when the message was created."
        )
    if created_at < EARLIEST:
        return f"Value error, created_at cannot be before {EARLIEST.date()}."
    if created_at > latest:
        seconds = settings.max_future_timestamp_seconds
        return f"Value error, created_at cannot be more than {seconds} seconds in the future."
    return None
