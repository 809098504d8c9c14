"""
From the body of a PUT to what is kept: parsed, checked, and remembered for the next one.

One plain function of bytes and settings, so that it can be run in another process.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from memory_cache import ContractMessage, SessionKey
from memory_cache_server import inputs
from memory_cache_server.contract_input import checked_messages, fields_of
from memory_cache_server.put_prefix import record_of
from memory_cache_server.schemas import PutSession
from memory_cache_server.settings import Settings

_SLICE: Final = 100
"""Messages in one pickle: some 0.1 ms to read."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Which session a body is about, probably, how many it holds, and for which fingerprint."""

    key: SessionKey
    held: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ParsedPut:
    """
    What a body says.

    ``record``: to be kept for the next PUT; empty: none. ``undated``: a message came without
    created_at. ``packed``: the messages as pickles, on their way between processes.
    """

    key: SessionKey
    fields: dict[str, Any]
    ttl_seconds: int | None
    messages: Sequence[ContractMessage]
    record: bytes
    undated: bool
    packed: Sequence[bytes] = ()


def parse_put(
    raw: bytes, session_id: str, settings: Settings, expected: Expected | None, *, is_json: bool
) -> ParsedPut:
    """
    Return what a body says.

    Raises:
        Problem: 400, 422.
        InvalidJsonError: it could not be kept unchanged.
    """
    value = inputs.parsed(raw, is_json=is_json)
    body = inputs.checked(value, PutSession)
    messages = checked_messages(body.messages, settings)
    key = SessionKey(body.namespace or "", body.user_id or "", session_id)
    record = None
    if expected is not None and expected.key == key and isinstance(value, dict):
        sent = value.get("messages", [])
        record = record_of(raw, sent, messages, expected.held, expected.fingerprint)
    return ParsedPut(
        key=key,
        fields=fields_of(body),
        ttl_seconds=body.ttl_seconds,
        messages=messages,
        record=record.dump() if record else b"",
        undated=any(message.created_at is None for message in messages),
    )


def parse_put_packed(
    raw: bytes, session_id: str, settings: Settings, expected: Expected | None
) -> ParsedPut:
    """Do as `parse_put`, and pack the messages in slices: reading them all would take too long."""
    parsed = parse_put(raw, session_id, settings, expected, is_json=True)
    slices = (parsed.messages[at : at + _SLICE] for at in range(0, len(parsed.messages), _SLICE))
    packed = [pickle.dumps([tuple(message) for message in some], 5) for some in slices]
    return replace(parsed, messages=(), packed=packed)


def unpacked(some: bytes) -> list[ContractMessage]:
    """Return a slice of messages that `parse_put_packed` packed."""
    return [ContractMessage(*parts) for parts in pickle.loads(some)]  # noqa: S301  # our own
