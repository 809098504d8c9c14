"""
What a request asks for in its headers: a version, a condition, a name for its change.

An ETag is `"<version>-<shape>"`: the version of the session, and how the answer was made of it.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request

from memory_cache import (
    ABSENT,
    BOUNDED,
    NEWEST,
    Consistency,
    Page,
    Session,
    Version,
    VersionLostError,
    VersionMismatchError,
    at_least,
)
from memory_cache_server.errors import Problem, fault, invalid

Read = Callable[[Session, Consistency], Awaitable[Page]]
"""Reads a page of a session with a consistency."""

ChangeTerms = dict[str, Any]
"""`if_version` and `operation_id`, as every change of the library takes them."""

LONGEST_OPERATION_ID: Final = 255

_TAG: Final = re.compile(r'(?:W/)?"([^"]*)"|([^\s,"]+)')


@dataclass(frozen=True, slots=True)
class Reading:
    """
    How a GET is to be answered.

    Attributes:
        shape: how the answer is made of the session.
        tags: what `If-None-Match` lists.
        min_version: what `Memory-Min-Version` says.
        newest: whether nothing but the newest will do.
    """

    shape: str
    tags: frozenset[str]
    min_version: Version | None
    newest: bool

    def etag(self, version: Version) -> str:
        """Return the entity tag of the answer about a version."""
        return f'"{version}-{self.shape}"'

    def knows(self, version: Version) -> bool:
        """Whether the client has the answer about this version already."""
        return "*" in self.tags or f"{version}-{self.shape}" in self.tags

    async def page(self, session: Session, read: Read) -> Page:
        """
        Return the page to answer with; any page of it where the client knows its version.

        Raises:
            VersionLostError: the store does not have the version that the client insists on.
        """
        if not self.newest:
            return await self._bounded(session, read)
        if self.min_version is not None:
            await session.recent(1, consistency=at_least(self.min_version))
        if self.tags:
            probe = await session.recent(1, consistency=NEWEST)
            if probe.version is None or self.knows(probe.version):
                return probe
        return await read(session, NEWEST)

    async def _bounded(self, session: Session, read: Read) -> Page:
        if self.min_version is not None:
            return await read(session, at_least(self.min_version))
        known = [version for tag in self.tags if (version := version_in(tag)) is not None]
        if not known:
            return await read(session, BOUNDED)
        try:
            return await read(session, at_least(max(known, key=lambda version: version.num)))
        except VersionLostError:
            # The client only asked whether it has changed: it has.
            return await read(session, NEWEST)


def reading_of(request: Request, shape: str, *, newest: bool) -> Reading:
    """
    Return what the headers of a GET ask for; ``newest``: whatever they say.

    Raises:
        Problem: 422.
    """
    given = request.headers.get("memory-min-version")
    min_version = None if given is None else version_in(given.strip())
    if given is not None and min_version is None:
        raise _wrong("memory-min-version", "is not a version of ours")
    directives = ",".join(request.headers.getlist("cache-control")).lower().split(",")
    no_cache = any(directive.strip() == "no-cache" for directive in directives)
    return Reading(
        shape, frozenset(_tags(request, "if-none-match")), min_version, newest or no_cache
    )


async def change_terms(
    request: Request, session: Session, *, may_create: bool = True
) -> ChangeTerms:
    """
    Return what the headers of a change ask for.

    Raises:
        Problem: 422; 412 where the condition cannot hold.
        VersionMismatchError: `If-Match: *`, and there is no session.
    """
    matches, none_matches = _tags(request, "if-match"), _tags(request, "if-none-match")
    for name, tags in (("if-match", matches), ("if-none-match", none_matches)):
        if name in request.headers and not tags:
            raise _wrong(name, "names nothing")
    terms: ChangeTerms = {"operation_id": _operation_id(request)}
    if none_matches and (matches or none_matches != ["*"] or not may_create):
        raise _wrong("if-none-match", 'a change understands only "*", alone, and not to delete')
    if none_matches:
        terms["if_version"] = ABSENT
    elif matches:
        terms["if_version"] = await _expected(matches, session)
    return terms


def wants_minimal(request: Request) -> bool:
    """Whether the client asked not to be sent back what it sent."""
    preferences = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(preference.strip() == "return=minimal" for preference in preferences)


def version_in(tag: str) -> Version | None:
    """Return the version that an entity tag, or a version's own text, names; None: neither."""
    version, dash, _ = tag.strip('"').rpartition("-")
    try:
        return Version.parse(version if dash else tag.strip('"'))
    except ValueError:
        return None


async def _expected(tags: list[str], session: Session) -> Version:
    if len(tags) > 1:
        raise _wrong("if-match", "must name one version")
    if tags == ["*"]:
        newest = (await session.recent(1, consistency=NEWEST)).version
        if newest is None:
            raise VersionMismatchError(None)
        return newest
    # A weak tag is as good: proxies that compress make ours weak, and the version stays exact.
    version = version_in(tags[0])
    if version is None:
        raise Problem(
            412, "version_mismatch", "Not the expected version", "If-Match names no version of ours"
        )
    return version


def _operation_id(request: Request) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    [key, *more] = given
    if more or not (1 <= len(key) <= LONGEST_OPERATION_ID and key.isascii() and key.isprintable()):
        rule = f"must be one, of 1 to {LONGEST_OPERATION_ID} printable ASCII characters"
        raise _wrong("idempotency-key", rule)
    return key


def _tags(request: Request, header: str) -> list[str]:
    listed = ",".join(request.headers.getlist(header))
    return [quoted or bare for quoted, bare in _TAG.findall(listed)]


def _wrong(header: str, reason: str) -> Problem:
    return invalid([fault("invalid_header", ["header", header], reason)], "invalid_header")
