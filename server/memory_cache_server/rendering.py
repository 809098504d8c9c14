"""From what the library answers to the bytes that clients get."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from starlette.responses import Response

from memory_cache import Change, DamagedSessionError, Page, SessionKey, Tier, Version, time_text
from memory_cache_server.conditional import Reading
from memory_cache_server.models import percentages

PRIVATE: Final = {"cache-control": "private, no-cache"}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def json_response(document: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return a 200 with a small document."""
    return bytes_response(orjson.dumps(document), headers)


def bytes_response(content: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Return a 200 with a document that is bytes already."""
    return Response(content, 200, {**PRIVATE, **(headers or {})}, "application/json")


def read_headers(reading: Reading, tier: Tier, version: Version) -> dict[str, str]:
    """Return what a GET says about the session beside its body."""
    if tier is Tier.NEAR:
        status = "memory-cache; hit"
    else:
        status = f"memory-cache; fwd={'request' if reading.newest else 'miss'}"
    return {
        "memory-version": str(version),
        "etag": reading.etag(version),
        "cache-status": status,
    }


def change_headers(change: Change) -> dict[str, str]:
    """Return what the answer to a change says beside its body."""
    headers = {"memory-version": str(change.version)}
    if change.replayed:
        headers["idempotency-replayed"] = "true"
    return headers


def not_modified(headers: Mapping[str, str]) -> Response:
    """Return the 304: the client has this answer."""
    return Response(None, 304, {**PRIVATE, **headers})


def session_document(
    page: Page,
    name: SessionKey,
    window: int | None,
    *,
    no_data: Mapping[str, Any] | None,
    messages: bytes | memoryview | None = None,
) -> bytes:
    """
    Return the contract's document of a session, in its order; messages are joined, not parsed.

    ``name``: as the client called the session: stands in where the session itself has no scope.
    ``no_data``: what the contract says where there is none: `{}` to a GET, null to a PUT.
    ``messages``: those of the page, joined already.
    """
    fields = page.fields
    used, until = percentages(tokens_of(page), window, empty=page.start == page.end)
    updated_at = micros_text(page.updated_at)
    rest = {
        "memories": fields.get("memories") or [],
        "data": no_data if fields.get("data") is None else fields["data"],
        "context": fields.get("context"),
        "user_id": page.key.user_id or name.user_id or None,
        "tokens": fields.get("tokens") or 0,
        "session_id": name.session_id,
        "namespace": page.key.namespace or name.namespace or None,
        "long_term_memory_strategy": fields.get("long_term_memory_strategy")
        or {"strategy": "discrete", "config": {}},
        "ttl_seconds": page.ttl_seconds,
        "last_accessed": fields.get("last_accessed") or updated_at,
        "created_at": micros_text(page.created_at),
        "updated_at": updated_at,
        "context_percentage_total_used": used,
        "context_percentage_until_summarization": until,
    }
    after = b"," + orjson.dumps(rest)[1:]
    if messages is not None:
        return b"".join((b'{"messages":[', messages, b"]", after))
    return page.view_json_between(b'{"messages":', after)


def page_document(page: Page) -> bytes:
    """Return the document of a page of a transcript; messages as they are stored."""
    rest = {
        "start": page.start,
        "end": page.end,
        "first": page.first,
        "next": page.next,
        "version": str(page.version),
    }
    return b'{"messages":' + page.json + b"," + orjson.dumps(rest)[1:]


def change_document(change: Change, key: SessionKey) -> dict[str, object]:
    """Return the document of a change."""
    return {
        "session_id": key.session_id,
        "namespace": key.namespace or None,
        "user_id": key.user_id or None,
        "start": change.start,
        "end": change.end,
        "first": change.first,
        "next": change.next,
        "token_count": change.token_count,
        "version": str(change.version),
    }


def prompt_document(page: Page, query: str) -> dict[str, object]:
    """
    Return the contract's prompt: the summary, the messages, the question.

    Raises:
        DamagedSessionError: a stored message cannot be read.
    """
    context = page.fields.get("context")
    prompt = []
    if context:
        prompt.append(_said("system", f"## A summary of the conversation so far:\n{context}"))
    try:
        messages: Sequence[Mapping[str, object]] = orjson.loads(page.view_json)
        for message in messages:
            role = "user" if message["role"] == "user" else "assistant"
            prompt.append(_said(role, _text(message["content"])))
    except (ValueError, KeyError) as error:
        raise DamagedSessionError("a stored message cannot be read") from error
    prompt.append(_said("user", query))
    return {"messages": prompt, "long_term_memories": None}


def tokens_of(page: Page) -> int:
    """Return the tokens of the page's messages."""
    counts = page.token_counts
    return page.token_count if counts is None else sum(counts)


def micros_text(micros: int) -> str:
    """
    Return the contract's text of a time in microseconds since the epoch.

    Of one that is of the year 1 or 9999 only in its own zone, the nearest that is so in UTC.
    """
    return time_text(_EPOCH + timedelta(microseconds=min(max(micros, _FIRST), _LAST)))


def _text(content: object) -> str:
    if not isinstance(content, str):
        raise ValueError("is no text")  # noqa: TRY004  # of what is stored, not of a caller
    return content


def _said(role: str, text: str) -> dict[str, object]:
    content = {"type": "text", "text": text, "annotations": None, "_meta": None}
    return {"role": role, "content": content}
