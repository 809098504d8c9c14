"""
One ADK session as a log: an event is one message, and carries what it does to the state.

The state is a checkpoint in the session's fields, with the events since then applied to it. So an
event and its state are one change, and reading the state costs no more than the last few events.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from google.adk.errors import StaleSessionError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig

import memory_cache as mc
from memory_cache.adapters._adk_times import has_all, times_of
from memory_cache.adapters._adk_values import delta_of, event_of, own
from memory_cache.adapters._carrier import CARRIED, messages_of, packed, unpacked
from memory_cache.adapters._reading import reading

_log = logging.getLogger("memory_cache")

_CHECKPOINT_EVENTS: Final = 32
_TRIES: Final = 64
_OPERATION_ID: Final = 255
_WHAT: Final = "a session of Google's ADK"
_MARKER: Final = "_storage_update_marker"


def _can_mark() -> bool:
    """Whether ADK has a place to note what a ``Session`` was made of; else say so."""
    if _MARKER in Session.__private_attributes__:
        return True
    _log.warning(
        "this version of google-adk has no Session.%s, as 2.13 has:"
        " an append to a session that is behind is added at the end, and not refused",
        _MARKER,
    )
    return False


_MARKS: Final = _can_mark()


class Seen(NamedTuple):
    """The version that a ``Session`` was made of, and how many events there were."""

    version: mc.Version
    end: int

    @property
    def log(self) -> tuple[str, int]:
        """What only an event changes, or another session in this one's place."""
        return self.version.inc, self.end


def mark(session: Session, version: mc.Version | None, end: int) -> Session:
    """Note in a ``Session`` what it was made of, in the place that ADK has for it, if it has."""
    if not _MARKS:
        return session
    session._storage_update_marker = f"{version} {end}"  # noqa: SLF001  # for services to use
    return session


def seen_of(session: Session) -> Seen | None:
    """Return what a ``Session`` was made of; None: not by us, or it cannot be noted."""
    marker: str | None = getattr(session, _MARKER, None)
    if marker is None:
        return None
    version, _, end = marker.partition(" ")
    return Seen(mc.Version.parse(version), int(end))


def fields_of(state: Mapping[str, Any], upto: int) -> dict[str, Any]:
    """
    Return the fields in which a state is kept that has the events before ``upto`` in it.

    Raises:
        InvalidInputError: it cannot be kept.
    """
    return packed({"state": state, "state_seq": upto})


class _Log(NamedTuple):
    """The newest events of a session, and the fields that it has beside them."""

    page: mc.Page
    fields: dict[str, Any]
    events: list[dict[str, Any]]

    @property
    def since(self) -> list[dict[str, Any]]:
        """The events that came after the state was kept."""
        return self.events[max(0, self.fields["state_seq"] - self.page.start) :]

    def state(self) -> dict[str, Any]:
        """Return the state after the last event."""
        state = own(self.fields["state"])
        for event in self.since:
            state |= own(delta_of(event))
        return state


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
        InvalidInputError: it cannot be kept.
    """
    message = packed(body)
    current = seen or await _current(chat)
    # An id is remembered for longer than a session may live: one made anew has another.
    name = body["id"].encode(errors="backslashreplace").decode()
    operation: str | None = f"{current.version.inc}:{name}"[:_OPERATION_ID]
    for _ in range(_TRIES):
        try:
            return await chat.append(
                message,
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
    """
    Bring the state that is kept up to the last event; if somebody is faster, leave it.

    One that is over its limit is left, too: the events since have the rest of it. And so is one
    that cannot be read: the event before it is stored, and who reads the session will be told.
    """
    try:
        log = await _read(chat, 1, None)
        if log is None:
            return
        with reading(_WHAT):
            times = times_of(log.fields, log.since)
            kept = fields_of(log.state(), log.page.next)
            fields = {CARRIED: None, **kept, **(times.fields if times is not None else {})}
        await chat.set_fields(fields, if_version=log.page.version)
    except (mc.VersionMismatchError, mc.TooLargeError, mc.DamagedSessionError):
        return


async def load(
    chat: mc.Session, app_name: str, user_id: str, config: GetSessionConfig
) -> Session | None:
    """Return a session with its own state and the events asked for; None if there is none."""
    count, after = config.num_recent_events, config.after_timestamp
    log = await _read(chat, count, after)
    if log is None:
        return None
    with reading(_WHAT):
        wanted = log.events
        if after is not None:
            wanted = [each for each in wanted if each["timestamp"] >= after]
        if count is not None:
            wanted = wanted[len(wanted) - min(count, len(wanted)) :]
        updated = log.events[-1]["timestamp"] if log.events else log.fields["created"]
        session = Session(
            id=chat.key.session_id,
            app_name=app_name,
            user_id=user_id,
            state=log.state(),
            events=[event_of(each) for each in wanted],
            last_update_time=updated,
        )
    return mark(session, log.page.version, log.page.next)


async def _current(chat: mc.Session) -> Seen:
    page = await chat.recent(0, consistency=mc.NEWEST)
    if page.version is None:
        raise SessionNotFoundError(f"Session {chat.key.session_id} not found.")
    return Seen(page.version, page.next)


async def _read(chat: mc.Session, count: int | None, after: float | None) -> _Log | None:
    """Return the newest events: those asked for, the last one, and all since the checkpoint."""
    if count is None and after is None:
        return _parsed(await chat.transcript())
    ask = max(count or 1, _CHECKPOINT_EVENTS)
    while True:
        page = await chat.recent(ask, consistency=mc.NEWEST)
        log = _parsed(page)
        if log is None or page.start == page.first:
            return log
        since = page.next - log.fields["state_seq"]
        with reading(_WHAT):
            if since > ask:
                ask = since
            elif after is None or has_all(
                log.events, times_of(log.fields, log.since), count, after
            ):
                return log
            else:
                ask *= 4


def _parsed(page: mc.Page) -> _Log | None:
    """Return what a page has of a session; None: it is not there, or was not created by ADK."""
    fields = page.fields
    if not {"state", "state_seq"} & fields.keys():
        return None
    with reading(_WHAT):
        log = _Log(page, unpacked(fields), messages_of(page))
        seq = log.fields["state_seq"]
        if not (type(seq) is int and page.first <= seq <= page.next):
            raise ValueError
    return log
