"""
The two views of a message.

A message is stored as it was sent. Clients of the contract know six fields: role, content,
id, created_at, persisted_at and discrete_memory_extracted. A message that they wrote is
stored in just that form and is its own view; of any other message the view is made here.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from memory_cache._errors import DamagedSessionError
from memory_cache._times import EPOCH, MICROSECOND, micros_of, read_iso, read_time, time_text

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = tuple(one + two for one in _CROCKFORD for two in _CROCKFORD)
VIEW_FIELDS: Final = 6


class ContractMessage(NamedTuple):
    """
    A message as a contract client sends it, checked by the caller.

    ``id``, ``created_at``: None where the client gave none. Times are ISO 8601 with a zone; one
    that is not, or a text that is not Unicode, ends in a ``ValueError`` or ``TypeError``.
    ``extracted``: ``"t"`` or ``"f"``.
    """

    role: str
    content: str
    id: str | None = None
    created_at: str | None = None
    persisted_at: str | None = None
    extracted: str = "f"

    @property
    def view_json(self) -> bytes:
        """The six-field form as canonical JSON, as reads give it; needs id and created_at."""
        return contract_view(self)


def contract_view(message: ContractMessage) -> bytes:
    """Return the six-field form as canonical JSON; id and created_at must be given."""
    text = orjson.dumps(
        {
            "role": message.role,
            "content": message.content,
            "id": message.id,
            "created_at": message.created_at,
            "persisted_at": message.persisted_at,
            "discrete_memory_extracted": message.extracted,
        }
    )
    # A copy: orjson (3.13) gives out its buffer, some KiB for a short text, and views are kept.
    return memoryview(text).tobytes()


def as_contract(message: Mapping[str, object], made_id: str, created_at: int) -> ContractMessage:
    """
    Return the contract's view of any message.

    The content is the text of its parts, or else the message itself as JSON: a client writes
    back what it reads, and the contract refuses an empty content. ``made_id`` is used where
    the message has no id of its own; ``created_at`` is in microseconds.
    """
    role, own_id = message.get("role"), message.get("id")
    extracted = message.get("discrete_memory_extracted")
    return ContractMessage(
        role=role if isinstance(role, str) else "",
        content=_text(message.get("content")) or orjson.dumps(message).decode(),
        id=own_id if isinstance(own_id, str) and own_id else made_id,
        created_at=iso_time(created_at),
        persisted_at=None,
        extracted="t" if extracted == "t" else "f",
    )


def view_of(body: bytes, made_id: str, created_at: int) -> bytes:
    """Return the contract's view of a stored message that is not its own."""
    return contract_view(as_contract(orjson.loads(body), made_id, created_at))


def equals_view(view: bytes, sent: ContractMessage) -> bool:
    """
    Whether ``sent`` brings this view back unchanged, in all that it gives.

    Raises:
        DamagedSessionError: what is stored is no view.
    """
    if sent.id is not None and sent.created_at is not None:
        return view == contract_view(sent)
    try:
        held = orjson.loads(view)
        id_, created_at = held["id"], held["created_at"]
    except (ValueError, KeyError) as error:
        raise DamagedSessionError("a stored message cannot be read") from error
    return view == contract_view(
        sent._replace(
            id=id_ if sent.id is None else sent.id,
            created_at=created_at if sent.created_at is None else sent.created_at,
        )
    )


def given_time(message: Mapping[str, object], latest: int) -> int | None:
    """Return the microseconds of a message's own created_at, if it is a time up to ``latest``."""
    moment = read_time(message.get("created_at"))
    given = -1 if moment is None else micros_of(moment)
    return given if 0 <= given <= latest else None


def iso_time(microseconds: int) -> str:
    """Return the contract's text of a time: UTC, six digits of fraction or none."""
    return time_text(EPOCH + microseconds * MICROSECOND)


def micros(text: str) -> int:
    """
    Return the microseconds since the epoch of an ISO 8601 time; without a zone it is UTC.

    Raises:
        ValueError: it is not one.
    """
    moment = read_iso(text)
    if moment is None:
        raise ValueError("is no ISO 8601 time")
    return micros_of(moment)


def ulid(milliseconds: int, randomness: int) -> str:
    """Return the ULID of a time and 80 random bits (github.com/ulid/spec)."""
    number = (milliseconds << 80) | randomness
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def _text(content: object) -> str:
    if isinstance(content, str):
        return content if content.strip() else ""
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") if isinstance(part, dict) else part for part in content)
    text = "\n".join(part for part in parts if isinstance(part, str))
    return text if text.strip() else ""
