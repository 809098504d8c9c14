"""
One ADK session as a log: an event is one message, and carries what it does to the state.

The state is a checkpoint in the session's fields, with the events since then applied to it. So an
event and its state are one change, and reading the state costs no more than the last few events.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from google.adk.errors import StaleSessionError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event
from google.adk.sessions import Session, State
from google.adk.sessions.base_session_service import GetSessionConfig

import memory_cache as mc

_CHECKPOINT_EVENTS: Final = 32
_TRIES: Final = 64
_OPERATION_ID: Final = 255
_SHARED: Final = (State.APP_PREFIX, State.USER_PREFIX, State.TEMP_PREFIX)


class Seen(NamedTuple):
    """The version that a ``Session`` was made of, and how many events there were."""

    version: mc.Version
    end: int

    @property
    def log(self) -> tuple[str, int]:
        """What only an event changes, or another session in this one's place."""
        return self.version.inc, self.end


def mark(session: Session, version: mc.Version | None, end: int) -> Session:
    """Note in a ``Session`` what it was made of, in the place that ADK has for it."""
    session._storage_update_marker = f"{version} {end}"  # noqa: SLF001  # for services to use
    return session


def seen_of(session: Session) -> Seen | None:
    """Return what a ``Session`` was made of; None: not by us."""
    marker = session._storage_update_marker  # noqa: SLF001  # for services to use
    if marker is None:
        return None
    version, _, end = marker.partition(" ")
    return Seen(mc.Version.parse(version), int(end))


def own(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a state, or of a change to it, that is the session's own."""
    return {name: value for name, value in state.items() if not name.startswith(_SHARED)}


def fields_of(state: Mapping[str, Any], upto: int) -> dict[str, Any]:
    """Return the fields in which a state is kept that has the events before ``upto`` in it."""
    return {"state": state, "state_seq": upto}


async def append(
    chat: mc.Session,
    body: dict[str, Any],
    seen: Seen | None,
    ttl_seconds: int | None,
    *,
    refuse_stale: bool,
) -> mc.Change:
    """
    Add an event to a session that exists; once, however often it is delivered.

    Raises:
        SessionNotFoundError: there is no such session.
        StaleSessionError: it is not as it was ``seen``, or changes too fast.
    """
    current = seen or await _current(chat)
    # An id is remembered for longer than a session may live: one made anew has another.
    operation: str | None = f"{current.version.inc}:{body['id']}"[:_OPERATION_ID]
    for _ in range(_TRIES):
        try:
            return await chat.append(
                body,
                if_version=current.version,
                operation_id=operation,
                ttl_seconds=ttl_seconds,
            )
        except mc.OperationReusedError:
            operation = None  # another event with the same id, which ADK allows
        except mc.VersionMismatchError:
            current = await _current(chat)
            if refuse_stale and seen is not None and current.log != seen.log:
                raise StaleSessionError("The session was updated since it was read.") from None
    raise StaleSessionError("The session changes too fast.")


def crosses(change: mc.Change) -> bool:
    """Whether after this append the state that is kept is to be brought up."""
    return change.start // _CHECKPOINT_EVENTS != change.end // _CHECKPOINT_EVENTS


async def checkpoint(chat: mc.Session) -> None:
    """Bring the state that is kept up to the last event; if somebody is faster, leave it."""
    page = await _page(chat, 1, None)
    if _is_adk(page):
        fields = fields_of(_state(page), page.next)
        try:
            await chat.set_fields(fields, if_version=page.version)
        except mc.VersionMismatchError:
            return


async def load(
    chat: mc.Session, app_name: str, user_id: str, config: GetSessionConfig
) -> Session | None:
    """Return a session with its own state and the events asked for; None if there is none."""
    count, after = config.num_recent_events, config.after_timestamp
    page = await _page(chat, count, after)
    if not _is_adk(page):
        return None
    messages = page.messages
    wanted = messages if count is None else messages[len(messages) - min(count, len(messages)) :]
    if after is not None:
        older = [at for at, each in enumerate(wanted) if each["timestamp"] < after]
        wanted = wanted[older[-1] + 1 :] if older else wanted
    session = Session(
        id=chat.key.session_id,
        app_name=app_name,
        user_id=user_id,
        state=_state(page),
        events=[Event.model_validate(each) for each in wanted],
        last_update_time=messages[-1]["timestamp"] if messages else page.fields["created"],
    )
    return mark(session, page.version, page.next)


async def _current(chat: mc.Session) -> Seen:
    page = await chat.recent(0, consistency=mc.NEWEST)
    if page.version is None:
        raise SessionNotFoundError(f"Session {chat.key.session_id} not found.")
    return Seen(page.version, page.next)


async def _page(chat: mc.Session, count: int | None, after: float | None) -> mc.Page:
    """Return the newest events: those asked for, the last one, and all since the checkpoint."""
    if count is None and after is None:
        return await chat.transcript()
    ask = max(count or 1, _CHECKPOINT_EVENTS)
    while True:
        page = await chat.recent(ask, consistency=mc.NEWEST)
        if not page.exists or page.start == page.first:
            return page
        since = page.next - page.fields.get("state_seq", page.next)
        if since > ask:
            ask = since
        elif count is None and after is not None and page.messages[0]["timestamp"] >= after:
            ask *= 4
        else:
            return page


def _is_adk(page: mc.Page) -> bool:
    """Whether the session exists, and was created by ADK rather than by somebody else."""
    return "state_seq" in page.fields


def _state(page: mc.Page) -> dict[str, Any]:
    """Return the state after the last event of a page."""
    fields = page.fields
    state: dict[str, Any] = fields["state"]
    for event in page.messages[max(0, fields["state_seq"] - page.start) :]:
        state |= own(event["actions"].get("stateDelta") or {})
    return state
