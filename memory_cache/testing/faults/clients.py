"""Clients: each does one thing after the other, on any worker, and sometimes loses patience."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Sequence
from typing import Final

import orjson

from memory_cache.testing._bodies import body_of
from memory_cache.testing.faults.crew import Member
from memory_cache.testing.faults.ground import Ground
from memory_cache.testing.faults.recorder import (
    PATIENCE_SECONDS,
    Change,
    Message,
    Question,
)
from memory_cache.testing.faults.worker import Json
from memory_cache.testing.history import Asked, WriteKind

_SIZES: Final = (80, 120, 200, 300, 500)
_LARGE: Final = (3_000, 3_000, 3_000, 70_000)
"""The last is announced on the bus without its messages."""

_LONG: Final = 400
_KEPT: Final = 30

_LARGE_ONES: Final = 0.01  # messages
_NAMED: Final = 0.5  # changes with an operation id
_AGAIN: Final = 0.02  # of those, acknowledged ones that are sent once more
_IMPATIENT: Final = 0.03  # changes given up after
_IMPATIENCE: Final = (0.0005, 0.002, 0.01, 0.1)  # seconds
_CANCELS: Final = 0.7  # of those, cancelled at the worker, too
_CAREFUL: Final = 0.8  # PUTs that name the version they read
_DELETES: Final = 0.2  # long sessions that are deleted, not shortened

_PACE_SECONDS: Final = 0.004
_ABSENCE_SECONDS: Final = 0.02


class Client:
    """One client. What it does is drawn from its seed; when, is up to the machine."""

    def __init__(self, name: str, seed: str, ground: Ground, most_waiting: int) -> None:
        """Speak to its workers, about its sessions; to no worker on which so many wait."""
        self.name = name
        self._random = random.Random(seed)  # noqa: S311  # repeatable
        self._members = ground.members
        self._sessions = ground.sessions
        self._recorder = ground.recorder
        self._most_waiting = most_waiting
        self._numbers = itertools.count()
        self._versions: dict[str, str] = {}
        self._lengths: dict[str, int] = {}

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            member = self._worker()
            if member is None:
                await asyncio.sleep(_ABSENCE_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                await self._do(member, self._random.choice(self._sessions))
            await asyncio.sleep(self._random.uniform(0, _PACE_SECONDS))

    def _worker(self) -> Member | None:
        """Draw a worker; one that does not answer must not hold all who could ask the others."""
        free = [
            member
            for member in self._members
            if member.ready.is_set() and member.waiting < self._most_waiting
        ]
        return self._random.choice(free) if free else None

    async def _do(self, member: Member, session: str) -> None:
        if self._lengths.get(session, 0) > _LONG and not self._recorder.is_calm:
            await self._shorten(member, session)
            return
        odds = (50, 38, 6, 0, 0) if self._recorder.is_calm else (50, 38, 6, 5, 1)
        match self._random.choices(range(5), odds)[0]:
            case 0:
                await self._append(member, session)
            case 1:
                await self._recent(member, session)
            case 2:
                await self._transcript(member, session)
            case 3:
                await self._put(member, session)
            case _:
                await self._make(member, Change(WriteKind.DELETE, session))

    def _chance(self, odds: float) -> bool:
        return self._random.random() < odds

    def message(self, session: str) -> Message:
        """Return a new message."""
        name = f"{self.name}.{next(self._numbers)}"
        size = self._random.choice(_SIZES)
        if self._chance(_LARGE_ONES) and not self._recorder.is_calm:
            size = self._random.choice(_LARGE)
        return Message(name, body_of(session, name, size))

    async def _append(self, member: Member, session: str) -> None:
        count = self._random.choices((1, 2, 3, 70), (80, 12, 7, 1))[0]
        messages = [self.message(session) for _ in range(count)]
        operation = f"{self.name}-{messages[0].name}" if self._chance(_NAMED) else None
        await self._make(member, Change(WriteKind.APPEND, session, messages, operation))

    async def _make(self, member: Member, change: Change) -> None:
        """Make a change; with an operation id, again and again until its outcome is known."""
        patience = PATIENCE_SECONDS
        if self._chance(_IMPATIENT):
            patience = self._random.choice(_IMPATIENCE)
        answer = None
        try:
            cancels = self._chance(_CANCELS)
            answer = await self._recorder.change(
                self.name, member, change, patience, cancels=cancels
            )
        except TimeoutError:
            if change.operation_id is None:
                raise
        if answer is not None and answer["ok"]:
            self._learn(change.session, answer["version"])
        is_open = answer is None or (not answer["ok"] and answer["applied"] == "unknown")
        is_told_again = answer is not None and answer["ok"] and self._chance(_AGAIN)
        if change.operation_id is not None and (is_open or is_told_again):
            await asyncio.sleep(self._random.uniform(0, 0.2))
            other = self._worker()
            if other is not None:
                await self._make(other, change)

    async def _recent(self, member: Member, session: str) -> None:
        asked = self._random.choices((Asked.BOUNDED, Asked.NEWEST, Asked.AT_LEAST), (75, 12, 13))[0]
        version = self._versions.get(session) if asked is Asked.AT_LEAST else None
        if asked is Asked.AT_LEAST and version is None:
            asked = Asked.NEWEST
        limit = self._random.choice((1, 5, 20, 20, 20, 100))
        await self._read(member, Question(session, asked, limit, version))

    async def _transcript(self, member: Member, session: str) -> None:
        await self._read(member, Question(session, Asked.NEWEST))

    async def _put(self, member: Member, session: str) -> None:
        """Read everything, and put back a part of it and something new."""
        answer = await self._read(member, Question(session, Asked.NEWEST))
        if answer is None or not answer["ok"]:
            return
        bodies = answer["bodies"][self._random.choice((0, 0, 0, 1, -5)) :]
        await self._replace(member, session, answer["version"], bodies)

    async def _shorten(self, member: Member, session: str) -> None:
        """Keep the newest of a session that has become long, or nothing."""
        self._lengths.pop(session, None)
        answer = await self._read(member, Question(session, Asked.NEWEST, _KEPT))
        if answer is None or not answer["ok"] or answer["next"] - answer["first"] < _LONG:
            return
        if self._chance(_DELETES):
            await self._make(
                member, Change(WriteKind.DELETE, session, if_version=answer["version"])
            )
        else:
            await self._replace(member, session, answer["version"], answer["bodies"])

    async def _replace(
        self, member: Member, session: str, version: str | None, bodies: Sequence[str]
    ) -> None:
        messages = [
            Message(self._recorder.sighting(body).name, orjson.loads(body)) for body in bodies
        ]
        messages.append(self.message(session))
        operation = f"{self.name}-{messages[-1].name}" if self._chance(_NAMED) else None
        is_careful = self._chance(_CAREFUL)
        await self._make(
            member,
            Change(WriteKind.PUT, session, messages, operation, version if is_careful else None),
        )

    async def _read(self, member: Member, question: Question) -> Json | None:
        answer = await self._recorder.read(self.name, member, question, PATIENCE_SECONDS)
        if answer is not None and answer["ok"]:
            self._learn(question.session, answer["version"])
            self._lengths[question.session] = answer["next"] - answer["first"]
        elif answer is not None and answer["code"] == "version_lost":
            self._versions.pop(question.session, None)
        return answer

    def _learn(self, session: str, version: str | None) -> None:
        if version is None:
            self._versions.pop(session, None)
        else:
            self._versions[session] = version
