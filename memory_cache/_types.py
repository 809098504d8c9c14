"""The vocabulary: keys, versions, headers, messages as stored, consistency."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Self

BLOCK = 64
"""Messages in one block. Part of the stored format: never change it."""

_NUMBERS = 10
"""Plain numbers in a header line, between the tag and the reigns."""

MOST = 2**53
"""No count of a header comes up to this: what Lua counts is exact below it."""

MOST_MESSAGES = 10**14
"""No seq comes up to this: from here on Lua writes numbers in names of fields with an exponent."""

LATEST = 10**18
"""No time comes up to this, in microseconds; it is far beyond the year 9999."""

_LONGEST_LINE = 4096
_LONGEST_ERAS = 2048
_LONGEST_REIGN = 64
"""Characters of a header, of all its reigns, and of one."""

LEAST_BYTES = 2
"""Of a message: ``{}``."""

FORMAT = "2"
"""The record format this release reads and writes; any other is refused, not guessed."""


class SessionKey(NamedTuple):
    """The name of one session. Empty and absent scopes are the same, and are kept as ``""``."""

    namespace: str
    user_id: str
    session_id: str


class Tier(Enum):
    """Where an answer came from: this process's near cache, or the store."""

    NEAR = "near"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Version:
    """One state of one session, opaque to clients; its text is ``<inc>.<era>.<num>.<tag>``."""

    inc: str
    era: str
    num: int
    tag: str

    def __str__(self) -> str:
        """Return the text that ``parse`` takes."""
        return f"{self.inc}.{self.era}.{self.num}.{self.tag}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read a version from its text.

        Raises:
            ValueError: the text was not made by us.
        """
        inc, era, num, tag = text.split(".")
        if not (text.isascii() and num.isdigit()) or not (inc and era and tag):
            raise ValueError
        return cls(inc, era, int(num), tag)


class Header(NamedTuple):
    """
    What the store keeps of a session beside its messages and fields: one line of text.

    ``eras`` holds one (era, first num) pair per reign of a primary, oldest first. Times are
    microseconds since the epoch, by the store's clock but for ``max_created``.
    """

    inc: str
    num: int
    tag: str
    first: int
    next: int
    edits: int
    size: int
    token_count: int
    max_created: int
    updated: int
    created: int
    ttl_ms: int
    fields_num: int
    eras: tuple[tuple[str, int], ...]

    @property
    def version(self) -> Version:
        """The version that this header is of."""
        return Version(self.inc, self.eras[-1][0], self.num, self.tag)

    def holds(self, version: Version) -> bool:
        """Whether ``version`` is this state or one of its ancestors (no failover lost it)."""
        if version.inc != self.inc or version.num > self.num:
            return False
        if version.num == self.num:
            return version.tag == self.tag
        ends = [first for _, first in self.eras[1:]] + [self.num + 1]
        return any(
            era == version.era and first <= version.num < end
            for (era, first), end in zip(self.eras, ends, strict=True)
        )

    def line(self) -> str:
        """Return the text the store keeps; ``parse`` reads it back."""
        eras = ",".join(f"{era}:{first}" for era, first in self.eras)
        return " ".join((FORMAT, *map(str, self[:-1]), eras))

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """
        Read a header line; the script ``header.lua`` has the same rule (docs/design.md).

        Raises:
            ValueError: it is not one of this format, or contradicts itself.
        """
        if len(line) > _LONGEST_LINE:
            raise ValueError(line)
        form, inc, num, tag, *numbers, eras = line.decode("ascii").split(" ")
        reigns = [reign.partition(":") for reign in eras.split(",")]
        if form != FORMAT or len(numbers) != _NUMBERS or len(eras) > _LONGEST_ERAS:
            raise ValueError(line)
        if not ("".join((num, *numbers)).isdigit() and inc.isalnum() and tag.isalnum()):
            raise ValueError(line)
        number, last = int(num), 0
        eras_: list[tuple[str, int]] = []
        for era, _, since in reigns:
            began = int(since)
            if not (era.isalnum() and since.isdigit() and last < began <= number):
                raise ValueError(line)
            if len(era) + 1 + len(since) > _LONGEST_REIGN:
                raise ValueError(line)
            last = began
            eras_.append((era, began))
        header = cls._make((inc, number, tag, *map(int, numbers), tuple(eras_)))
        if _contradicts_itself(header):
            raise ValueError(line)
        return header


def _contradicts_itself(header: Header) -> bool:
    """Whether a number is out of range, or against another one."""
    _, num, _, first, next_, edits, size, tokens, newest, updated, created, ttl, fields_num, _ = (
        header
    )
    return not (
        first <= next_ < MOST_MESSAGES
        and (LEAST_BYTES * (next_ - first) <= size < MOST if first < next_ else size == 0)
        and edits < num < MOST
        and fields_num <= num
        and tokens < MOST
        and newest < LATEST
        and updated < MOST
        and created < MOST
        and ttl < MOST
    )


class Meta(NamedTuple):
    """
    What is known of a message beside its bytes.

    ``own_view``: the bytes are the message's contract view already. ``id`` is empty then, and
    where the message has an id of its own.
    """

    own_view: bool
    tokens: int
    created_at: int
    id: str


class StoredMessage(NamedTuple):
    """A message as it is kept: canonical JSON bytes, and what is known beside them."""

    body: bytes
    meta: Meta


class Guarantee(Enum):
    """What a read may ask for."""

    BOUNDED = "bounded"
    NEWEST = "newest"
    AT_LEAST = "at_least"


@dataclass(frozen=True, slots=True)
class Consistency:
    """What a read asks for; use ``BOUNDED``, ``NEWEST`` or ``at_least(version)``."""

    guarantee: Guarantee
    version: Version | None = None


BOUNDED = Consistency(Guarantee.BOUNDED)
"""Never older than the staleness bound T, relative to the primary this process talks to."""

NEWEST = Consistency(Guarantee.NEWEST)
"""Contains every change that was acknowledged before the read began."""


def at_least(version: Version | str) -> Consistency:
    """
    Ask for this version or a later one of the same history; never older, on any worker.

    Raises:
        ValueError: the text is not a version.
    """
    parsed = Version.parse(version) if isinstance(version, str) else version
    return Consistency(Guarantee.AT_LEAST, parsed)
