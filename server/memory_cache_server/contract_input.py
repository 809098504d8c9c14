"""From what clients of the contract send to what the library keeps."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from memory_cache import ContractMessage, read_time, time_text
from memory_cache_server.errors import Fault, Problem, fault, faults_of, invalid
from memory_cache_server.schemas import Message, MessageTime, PatchSession, PutSession, zoned
from memory_cache_server.settings import Settings

DEPRECATION_WARNING = (
    "messages[].created_at will become required in the next major version."
    " Please provide timestamps for all messages."
)

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)

_LAST: Final = datetime.max.replace(tzinfo=UTC)
_MESSAGE_TIME: Final[TypeAdapter[datetime]] = TypeAdapter(MessageTime)


def checked_messages(messages: Iterable[Message], settings: Settings) -> list[ContractMessage]:
    """
    Return the messages as the library takes them.

    Raises:
        Problem: 422 for times that may not be; 400 for a content that says nothing.
    """
    latest = _latest(settings)
    faults: list[Fault] = []
    taken = []
    blank = None
    for index, message in enumerate(messages):
        given = message.model_fields_set
        created_at = message.created_at if "created_at" in given else None
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


def check_times(messages: Iterable[Mapping[str, Any]], settings: Settings) -> None:
    """
    Check the created_at of messages of any shape, as `checked_messages` does.

    One that is no time is refused only where times are required: it may mean something else.

    Raises:
        Problem: 422.
    """
    latest = _latest(settings)
    required = settings.require_message_timestamps
    faults: list[Fault] = []
    for index, message in enumerate(messages):
        place: list[str | int] = ["body", "messages", index]
        moment = read_time(message.get("created_at"))
        if moment is None and "created_at" in message:
            if required:
                faults += _unreadable(message["created_at"], [*place, "created_at"])
        elif reason := _wrong_time(moment, latest, settings):
            faults.append(fault("value_error", place, reason, error={}))
    if faults:
        raise invalid(faults)


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


_FIELDS = frozenset(
    {"memories", "data", "context", "tokens", "long_term_memory_strategy", "last_accessed"}
)


def _latest(settings: Settings) -> datetime:
    try:
        return datetime.now(UTC) + timedelta(seconds=settings.max_future_timestamp_seconds)
    except OverflowError:
        return _LAST


def _unreadable(given: object, place: list[str | int]) -> list[Fault]:
    """Say what is wrong with a created_at, as for a PUT."""
    try:
        _MESSAGE_TIME.validate_python(given)
    except ValidationError as error:
        return [{**found, "loc": place} for found in faults_of(error, "body")]
    return []


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
