"""
One session, carried over.

What is being written carries a mark. Whoever meets it, as the next run does when this one was
killed, begins that session anew; unless it holds what the source does not, for then somebody has
used it in the meantime.
"""

from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final

from memory_cache import (
    ABSENT,
    NEWEST,
    DamagedSessionError,
    IfVersion,
    InvalidInputError,
    Page,
    Session,
    SessionCache,
    SessionKey,
    TranscriptEditedError,
    Version,
    VersionMismatchError,
)
from memory_cache_server.importing.compare import difference
from memory_cache_server.importing.found import (
    UNFINISHED,
    ChangedError,
    Document,
    Gone,
    Read,
    Refused,
    Transcript,
    UnreadableError,
)
from memory_cache_server.importing.writing import Limits, check, write

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

    def __init__(self, cache: SessionCache, ways: Ways, limits: Limits | None = None) -> None:
        """``limits``: those of the cache, which a dry run does not ask; None: the defaults."""
        self._cache = cache
        self._ways = ways
        self._limits = limits or Limits()

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
        if head.exists and (outcome := await self._there(found, session, head, remarks)):
            return outcome
        if self._ways.dry_run:
            count = await check(found, remarks, self._limits)
            return self._outcome(State.CARRIED, found, count, remarks)
        try:
            if head.exists:
                # What is there goes for something that can be had.
                await check(found, remarks, self._limits)
            base: IfVersion = ABSENT if head.version is None else head.version
            version, count = await write(found, session, base, remarks)
            if self._ways.verify:
                await self._verify(read, session, version, remarks)
        except VersionMismatchError:
            raise _AgainError("it is changed here while it is written") from None
        except ChangedError as error:
            raise _AgainError(str(error)) from None
        return self._outcome(State.CARRIED, found, count, remarks)

    async def _there(
        self, found: Document | Transcript, session: Session, head: Page, remarks: list[str]
    ) -> Outcome | None:
        """Say what becomes of a session because of the one that is there; None: it is written."""
        whole = UNFINISHED not in head.fields
        count = head.next - head.first
        if isinstance(found, Transcript) and found.version == str(head.version):
            return self._outcome(State.EQUAL, found, count, remarks)
        differs = await self._difference(found, session, remarks, whole=whole)
        if whole and not differs:
            if not self._ways.dry_run:
                await session.relist()  # whoever made it may have been killed before that
            return self._outcome(State.EQUAL, found, count, remarks)
        if not differs or self._ways.overwrite:
            return None
        what = "a session" if whole else "an unfinished import that others wrote to"
        reason = f"{what} is there already: {differs}"
        return Outcome(State.DIFFERS, found.name, found.key, reason=reason)

    async def _verify(
        self, read: Read, session: Session, version: Version, remarks: list[str]
    ) -> None:
        """Compare with what the source says now; what we wrote goes if that is another."""
        found = await read()
        if found is None or isinstance(found, Gone):
            remarks.append("went from the source before it could be compared")
            return
        if isinstance(found, Refused):
            differs = found.reason
        else:
            differs = await self._difference(found, session, [])
        if differs:
            await session.delete(if_version=version)
            raise _AgainError(f"the source has another one now ({differs})")

    async def _difference(
        self,
        found: Document | Transcript,
        session: Session,
        remarks: list[str],
        *,
        whole: bool = True,
    ) -> str:
        try:
            return await difference(found, session, remarks, whole=whole)
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
