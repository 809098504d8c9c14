"""
What ADK hands over, as JSON values: nothing is lost that ADK's own services keep.

ADK's dump of an event is taken, with two differences. It turns numbers that are not finite into
null, and halves of surrogate pairs in keys into other characters; they stay. And it fails where a
tool's result holds an object of a class it does not know; such an object becomes text, as ADK
itself does with one in the state.
"""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from google.adk.events import Event
from google.adk.sessions import State
from google.genai import types
from pydantic_core import to_jsonable_python

from memory_cache import InvalidInputError
from memory_cache.adapters._carrier import as_in_python

_SECRET_PREFIX: Final[str] = getattr(State, "SECRET_PREFIX", "secret:")
_UNSTORED: Final = (State.TEMP_PREFIX, _SECRET_PREFIX)
_SHARED: Final = (State.APP_PREFIX, State.USER_PREFIX)
_FAILS: Final = (TypeError, ValueError, RecursionError)
_PLAIN: Final = (str, int, float, bool, type(None))

_STATE: Final = "memory-cache:state"
"""Key of a stored event: what it does to the state, where ADK's state has it otherwise."""


def own(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a state, or of a change to it, that is the session's own."""
    return {k: v for k, v in stored(state).items() if not k.startswith(_SHARED)}


def shared(state: Mapping[str, Any]) -> bool:
    """Whether a state, or a change to it, has a part that is the app's or the user's."""
    return any(name.startswith(_SHARED) for name in state)


def stored(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state, or a change to it, without what is never stored."""
    return {k: v for k, v in state.items() if not k.startswith(_UNSTORED)}


def state_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a state, or a change to it, as it is stored.

    Raises:
        InvalidInputError: it holds itself, or is nested too deep to be looked at.
    """
    kept = stored(given)
    try:
        made: dict[str, Any] = to_jsonable_python(kept)
    except _FAILS:
        return _jsonable(kept, "state", _text_or_base64)
    return made


def body_of(event: Event) -> dict[str, Any]:
    """
    Return an event as it is stored.

    Raises:
        InvalidInputError: it holds itself, or is nested too deep to be looked at.
    """
    delta = stored(event.actions.state_delta)
    if len(delta) < len(event.actions.state_delta):
        actions = event.actions.model_copy(update={"state_delta": delta})
        event = event.model_copy(update={"actions": actions})
    try:
        body = _dumped(event, "json")
        text = json.dumps(body)
        if "null" in text or "\\ufffd" in text:
            body = as_in_python(body, _dumped(event, "python"))
    except _FAILS:
        body = _jsonable(_dumped(event, "python"), "event", _base64)
    state = state_of(delta)
    return body if state == body["actions"]["stateDelta"] else {**body, _STATE: state}


def delta_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an event, as it is stored, does to the state."""
    found: dict[str, Any] = body.get(_STATE) or body["actions"].get("stateDelta") or {}
    return stored(found)


def event_of(body: Mapping[str, Any]) -> Event:
    """Return an event of what is stored."""
    return Event.model_validate({name: value for name, value in body.items() if name != _STATE})


def stand_in(event: Event, reason: str) -> Event | None:
    """
    Return an event that says of tools' results that they were refused; None: it has none.

    A call without a result would be left otherwise, which no model goes on from.
    """
    parts = event.content.parts if event.content and event.content.parts else []
    results = [part.function_response for part in parts if part.function_response]
    if not results:
        return None
    said = {"error": f"The result could not be stored: it {reason}."}
    told = [
        types.Part(function_response=types.FunctionResponse(id=x.id, name=x.name, response=said))
        for x in results
    ]
    return Event(
        id=event.id,
        invocation_id=event.invocation_id,
        author=event.author,
        branch=event.branch,
        timestamp=event.timestamp,
        content=types.Content(role=event.content.role if event.content else None, parts=told),
    )


def _dumped(event: Event, mode: Literal["json", "python"]) -> dict[str, Any]:
    dumped: dict[str, Any] = event.model_dump(mode=mode, by_alias=True, exclude_none=True)
    return dumped


def _jsonable(value: Any, field: str, of_bytes: Callable[[bytes], str]) -> Any:  # noqa: ANN401
    try:
        return _made(value, of_bytes)
    except _FAILS as error:
        raise InvalidInputError(field, f"cannot be kept as JSON ({error})") from None


def _made(value: Any, of_bytes: Callable[[bytes], str]) -> Any:  # noqa: ANN401  # any value
    """Return a value as ADK makes JSON of it; what it makes nothing of is text."""
    if isinstance(value, dict):
        # Loops, for a comprehension would take the stack twice as deep.
        made = {}
        for key, inner in value.items():
            made[_key(key)] = _made(inner, of_bytes)
        return made
    if isinstance(value, (list, tuple, set, frozenset)):
        several = []
        for inner in value:
            several.append(_made(inner, of_bytes))  # noqa: PERF401  # as above
        return several
    if type(value) in _PLAIN:
        return value
    if isinstance(value, bytes):
        return of_bytes(value)
    return to_jsonable_python(value, serialize_unknown=True)


def _key(key: Any) -> str:  # noqa: ANN401  # any key
    if isinstance(key, str):
        return key
    (text,) = to_jsonable_python({key: None}, serialize_unknown=True)
    return str(text)


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode()


def _text_or_base64(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _base64(value)
