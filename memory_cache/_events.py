"""
What happened to a session, as a follower is told of it: places, and the events between them.

A place is how far a follower has got. What comes after it is judged by one pure function,
``happened``: given the same place and page it says the same, in any process. So a follower may
be cut off anywhere and go on anywhere else.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Self

from memory_cache._errors import InvalidInputError
from memory_cache._json import stored_json
from memory_cache._page import Page
from memory_cache._types import Header, Version

_NO_SESSION: Final = "-"
_MAY_BE_ANY: Final = -1

MOST_EVENTS: Final = 32
MOST_BYTES: Final = 256 * 1024
"""Messages told of at a time, and their bytes if they are several: what a slow follower holds."""


@dataclass(frozen=True, slots=True)
class Place:
    """
    All up to ``next`` was told, of one value of ``edits``, as it was at ``version``.

    ``version`` None: that there is no session. A version alone is a place too, but what came
    after it can be told only while it is the newest.
    """

    version: Version | None
    edits: int = _MAY_BE_ANY
    next: int = 0

    @classmethod
    def after(cls, header: Header | None) -> Self:
        """Return the place behind all that a session holds."""
        if header is None:
            return cls(None)
        return cls(header.version, header.edits, header.next)

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read a place, or a version.

        Raises:
            InvalidInputError: the text is neither.
        """
        if text == _NO_SESSION:
            return cls(None)
        version, *numbers = text.split("/")
        try:
            if not numbers:
                return cls(Version.parse(version))
            edits, next_ = map(_number, numbers)
            return cls(Version.parse(version), edits, next_)
        except ValueError:
            raise InvalidInputError("after", "is not an id of an event, or a version") from None

    def __str__(self) -> str:
        if self.version is None:
            return _NO_SESSION
        if self.edits == _MAY_BE_ANY:
            return str(self.version)
        return f"{self.version}/{self.edits}/{self.next}"

    def goes_on_at(self, header: Header | None) -> int | None:
        """Return the seq of the next message to tell of; None: something else happened before."""
        if header is None:
            return None
        if self.version is None:
            return header.first
        if not header.holds(self.version):
            return None
        if self.edits == _MAY_BE_ANY:
            return header.next if header.num == self.version.num else None
        # No change but an edit moves the first one, or takes the last one away: where the store has
        # less than was told, or nobody told it, one must read again.
        goes_on = self.edits == header.edits and header.first <= self.next <= header.next
        return self.next if goes_on else None


class SessionEventKind(Enum):
    """What may happen to a session that is followed."""

    FOLLOWING = "following"  # from here on all is told; the first event, unless one goes on
    MESSAGE = "message"  # a message was added
    EDITED = "edited"  # messages were changed or removed: read again what you have of them
    DELETED = "deleted"  # the session was deleted, or expired; it is followed on
    LOST = "lost"  # the store lost changes that were told: read again what you have


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """
    What happened, and the place behind it.

    Attributes:
        kind: what.
        place: where one goes on after it.
        first: the seq of the oldest message of the session.
        seq: of the message, if it is about one.
        json: the message as it is stored, if it is about one.
        more: whether another event is at hand, so that a sender may wait for it.
    """

    kind: SessionEventKind
    place: Place
    first: int = 0
    seq: int = -1
    json: bytes = b""
    more: bool = False

    @property
    def id(self) -> str:
        """The text by which one goes on after it, in any process."""
        return str(self.place)

    @property
    def version(self) -> Version | None:
        """The version it was told of; None: there is no session."""
        return self.place.version

    @property
    def next(self) -> int:
        """The seq of the next message that will be told of."""
        return self.place.next

    @property
    def message(self) -> dict[str, Any]:
        """
        The message, parsed anew at each call.

        Raises:
            DamagedSessionError: the store's is not JSON.
        """
        parsed: dict[str, Any] = stored_json(self.json)
        return parsed


def happened(place: Place, page: Page) -> list[SessionEvent]:
    """
    Return what happened between a place and the state a page is of, a little at a time.

    The page's messages begin where the place goes on, or before. There is more if the last
    event's place is not that of the page's header.
    """
    header, version = page.header, place.version
    start = place.goes_on_at(header)
    if start is not None and header is not None:
        if place.edits == _MAY_BE_ANY and version is not None:
            return [SessionEvent(SessionEventKind.FOLLOWING, Place.after(header), header.first)]
        end = _end(page, start)
        return [
            SessionEvent(
                SessionEventKind.MESSAGE,
                Place(header.version, header.edits, seq + 1),
                header.first,
                seq,
                page.bodies[seq - page.start],
                more=seq + 1 < end,
            )
            for seq in range(start, end)
        ]
    if version is None:
        return []
    if header is None or header.inc != version.inc:
        return [SessionEvent(SessionEventKind.DELETED, Place(None))]
    kind = SessionEventKind.EDITED if header.holds(version) else SessionEventKind.LOST
    return [SessionEvent(kind, Place.after(header), header.first)]


def _end(page: Page, start: int) -> int:
    """Return up to which message is told of at a time."""
    end, room = start, MOST_BYTES
    while end < min(page.end, start + MOST_EVENTS):
        room -= len(page.bodies[end - page.start])
        if room < 0 and end > start:
            break
        end += 1
    return end


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)
