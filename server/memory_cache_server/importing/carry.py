"""
One session, carried over.

A long transcript is written slice by slice, and carries a mark in its fields until it is whole.
Whoever meets the mark, as the next run does when this one was killed, begins it anew.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Final

from memory_cache import (
    ABSENT,
    NEWEST,
    UNCHANGED,
    Change,
    DamagedSessionError,
    InvalidInputError,
    Session,
    SessionCache,
    SessionKey,
    TranscriptEditedError,
    Version,
    VersionMismatchError,
)
from memory_cache_server.importing.compare import difference
from memory_cache_server.importing.found import (
    ChangedError,
    Document,
    Gone,
    Read,
    Refused,
    Transcript,
    UnreadableError,
)

UNFINISHED: Final = "unfinished_import"
"""Field of a session that is being written; no session that is whole has it."""

_TRIES: Final = 3


class State(Enum):
    """What became of a session."""

    CARRIED = "carried"
    EQUAL = "equal"  # it was there already, and is equal
    DIFFERS = "differs"  # it was there already, or is now, and is another
    REFUSED = "refused"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a session.

    Attributes:
        messages: how many it has; of one that was not carried over, 0.
        reason: why not.
        remarks: what of it was not carried over.
    """

    state: State
    name: str
    key: SessionKey | None = None
    messages: int = 0
    reason: str = ""
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ways:
    """How to carry over: see the flags of the command."""

    overwrite: bool = False
    dry_run: bool = False
    verify: bool = False


class _AgainError(Exception):
    """Somebody else was faster, or the source changed: look again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Carrier:
    """Carries sessions over, each at most once."""

    def __init__(self, cache: SessionCache, ways: Ways) -> None:
        self._cache = cache
        self._ways = ways

    async def carry(self, read: Read) -> Outcome | None:
        """
        Carry one session over, or say why not; None: it is none of those asked for.

        Cancelled or killed, it leaves the session absent, whole, or marked as unfinished.

        Raises:
            SourceError: the source cannot be read any more.
            StoreError: the store cannot be written any more.
        """
        last: Outcome | None = None
        for _ in range(_TRIES):
            found = await read()
            if not isinstance(found, Document | Transcript):
                return _nothing(found)
            outcome = partial(Outcome, name=found.name, key=found.key)
            try:
                return await self._one(found, read)
            except _AgainError as error:
                last = outcome(State.REFUSED, reason=f"{error.reason}, {_TRIES} times")
            except (UnreadableError, InvalidInputError) as error:
                return outcome(State.REFUSED, reason=str(error))
            except DamagedSessionError:
                return outcome(State.DIFFERS, reason="what is here under this name is damaged")
        return last

    async def _one(self, found: Document | Transcript, read: Read) -> Outcome:
        session = self._session(found.key)
        head = await session.recent(0, consistency=NEWEST)
        remarks: list[str] = []
        if head.exists and UNFINISHED not in head.fields:
            differs = await self._difference(found, session, remarks)
            if not differs:
                return self._outcome(State.EQUAL, found, head.next - head.first, remarks)
            if not self._ways.overwrite:
                reason = f"a session is there already: {differs}"
                return Outcome(State.DIFFERS, found.name, found.key, reason=reason)
        if self._ways.dry_run:
            count = await _count(found, remarks)
            return self._outcome(State.CARRIED, found, count, remarks)
        try:
            if head.exists:
                await session.delete(if_version=head.version)
            version, count = await _write(found, session, remarks)
            if self._ways.verify:
                await self._verify(read, session, version)
        except VersionMismatchError:
            raise _AgainError("it is changed here while it is written") from None
        except ChangedError as error:
            raise _AgainError(str(error)) from None
        return self._outcome(State.CARRIED, found, count, remarks)

    async def _verify(self, read: Read, session: Session, version: Version) -> None:
        """Compare with what the source says now; what we wrote goes if that is another."""
        found = await read()
        if not isinstance(found, Document | Transcript):
            return  # gone since, by its time to live as a rule
        differs = await self._difference(found, session, [])
        if not differs:
            return
        await session.delete(if_version=version)
        raise _AgainError(f"the source has another one now ({differs})")

    async def _difference(
        self, found: Document | Transcript, session: Session, remarks: list[str]
    ) -> str:
        try:
            return await difference(found, session, remarks)
        except ChangedError as error:
            raise _AgainError(str(error)) from None
        except TranscriptEditedError:
            raise _AgainError("it is edited here while it is compared") from None

    def _session(self, key: SessionKey) -> Session:
        return self._cache.session(key.session_id, namespace=key.namespace, user_id=key.user_id)

    def _outcome(
        self, state: State, found: Document | Transcript, count: int, remarks: list[str]
    ) -> Outcome:
        if isinstance(found, Document):
            remarks = [*found.remarks, *remarks]
        return Outcome(state, found.name, found.key, count, remarks=remarks)


def _nothing(found: Refused | Gone | None) -> Outcome | None:
    if found is None:
        return None
    if isinstance(found, Gone):
        return Outcome(State.GONE, found.name)
    return Outcome(State.REFUSED, found.name, reason=found.reason)


async def _write(
    found: Document | Transcript, session: Session, remarks: list[str]
) -> tuple[Version, int]:
    if isinstance(found, Document):
        return await _put(found, session), len(found.messages)
    remarks.clear()
    return await _stream(found, session, remarks)


async def _put(found: Document, session: Session) -> Version:
    ttl = found.ttl_seconds or found.expires_seconds
    change, _ = await session.put(found.messages, found.fields, ttl_seconds=ttl, if_version=ABSENT)
    if found.ttl_seconds is None and found.expires_seconds is not None:
        # Put again without one, the deadline stays, and no later write moves it: as over there.
        change, _ = await session.put(found.messages, found.fields, if_version=change.version)
    return _version(change)


async def _stream(found: Transcript, session: Session, remarks: list[str]) -> tuple[Version, int]:
    """Write a transcript slice by slice; what was written goes again if it cannot be ended."""
    async with aclosing(found.slices(remarks)) as slices:
        some = await _next(slices) or []
        more = await _next(slices)
        if more is None:
            fields, ttl = found.fields or {}, found.ttl_seconds
            change = await session.replace(some, fields, if_version=ABSENT, ttl_seconds=ttl)
            return _version(change), len(some)
        marked = {**(found.fields or {}), UNFINISHED: True}
        version = _version(await session.replace(some, marked, if_version=ABSENT))
        count = len(some)
        try:
            while more is not None:
                if more:
                    version = _version(await session.append(more, if_version=version))
                count += len(more)
                more = await _next(slices)
            change = await session.set_fields(
                {UNFINISHED: None},
                if_version=version,
                ttl_seconds=UNCHANGED if found.ttl_seconds is None else found.ttl_seconds,
            )
        except (UnreadableError, InvalidInputError) as error:
            await session.delete(if_version=version)
            if isinstance(error, UnreadableError):
                raise
            raise UnreadableError(f"after {count} messages: {error}") from None
    return _version(change), count


def _version(change: Change) -> Version:
    assert change.version is not None, "a change that is no delete leaves a session"
    return change.version


async def _next(slices: AsyncGenerator[list[dict[str, Any]]]) -> list[dict[str, Any]] | None:
    async for some in slices:
        return some
    return None


async def _count(found: Document | Transcript, remarks: list[str]) -> int:
    if isinstance(found, Document):
        return len(found.messages)
    remarks.clear()
    async with aclosing(found.slices(remarks)) as slices:
        return sum([len(some) async for some in slices])
