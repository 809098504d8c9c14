"""Sessions and events of Google's ADK, for tests of the adapter."""

from typing import Any

from google.adk.events import Event, EventActions
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from memory_cache.adapters.google_adk import MemoryCacheSessionService

HERE: dict[str, Any] = {"app_name": "app", "user_id": "u", "session_id": "s"}


def event(at: int, delta: dict[str, Any] | None = None, **more: Any) -> Event:  # noqa: ANN401
    """An event with text, bytes, a call and a change of state."""
    parts = [
        types.Part(text=f"event {at}"),
        types.Part(inline_data=types.Blob(data=b"\xff\x00", mime_type="a/b")),
        types.Part(function_call=types.FunctionCall(id="c", name="f", args={"a": None})),
    ]
    return Event(
        id=f"e{at}",
        invocation_id="i",
        author="agent",
        timestamp=float(at),
        content=types.Content(role="model", parts=parts),
        actions=EventActions(state_delta=delta or {}),
        **more,
    )


async def read(service: MemoryCacheSessionService, **config: Any) -> Session:  # noqa: ANN401
    """The session, which must exist."""
    session = await service.get_session(**HERE, config=GetSessionConfig(**config))
    assert session is not None
    return session
