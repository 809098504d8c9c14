"""Requests of clients, written down as the words that the checker judges."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from memory_cache.testing._bodies import sight
from memory_cache.testing.faults.crew import GoneError, Member
from memory_cache.testing.faults.scores import Expectation, Scores
from memory_cache.testing.faults.worker import Json
from memory_cache.testing.history import (
    Answer,
    Applied,
    Asked,
    History,
    Read,
    Sighting,
    Write,
    WriteKind,
)

DEADLINE_SECONDS: Final = 12.0
"""A change waits for a connection, is sent, and is sent again for as long as one reply may take."""

PATIENCE_SECONDS: Final = DEADLINE_SECONDS + 3.0
"""How long a client waits that wants to know."""

_EXPECTED: Final = {
    "store_unavailable",
    "version_mismatch",
    "version_lost",
    "version_timeout",
    "transcript_edited",
}


class Message(NamedTuple):
    """A message by its name, and the JSON object that spells it."""

    name: str
    body: Json


@dataclass(frozen=True, slots=True)
class Change:
    """What a client wants to change."""

    kind: WriteKind
    session: str
    messages: Sequence[Message] = ()
    operation_id: str | None = None
    if_version: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a client wants to read; no limit: the whole transcript."""

    session: str
    asked: Asked
    limit: int | None = None
    version: str | None = None


class Recorder:
    """Sends requests to workers, and remembers how each went."""

    def __init__(self, scores: Scores) -> None:
        """Begin with an empty history."""
        self.history = History()
        self.scores = scores
        self.refusals: Counter[str] = Counter()
        self.longest = 0.0
        self.paused: set[str] = set()
        self.is_calm = False  # clients make no edits, and nothing large
        self.edits = 0  # under way
        self._seen: dict[str, Sighting] = {}

    async def change(
        self, client: str, member: Member, change: Change, patience: float, *, cancels: bool = True
    ) -> Json | None:
        """
        Make a change; None: the worker is not there, or went.

        Raises:
            TimeoutError: it took longer than ``patience`` seconds; what became of it is unknown.
        """
        request: Json = {
            "op": change.kind.value,
            "session": change.session,
            "messages": [message.body for message in change.messages],
            "operation_id": change.operation_id,
            "if_version": change.if_version,
        }
        self.edits += change.kind is not WriteKind.APPEND
        sent = time.monotonic()
        done: float | None = None
        applied = Applied.UNKNOWN
        answer: Json | None = None
        try:
            answer = await member.call(request, patience, cancels=cancels)
            done = time.monotonic()
            applied = Applied.YES if answer["ok"] else Applied(answer["applied"])
        except GoneError as gone:
            done = time.monotonic()
            applied = Applied.UNKNOWN if gone.sent else Applied.NO
        except TimeoutError:
            self._late(member, patience)
            raise
        finally:
            self.edits -= change.kind is not WriteKind.APPEND
            given = answer or {}
            self.history.writes.append(
                Write(
                    kind=change.kind,
                    session=change.session,
                    client=client,
                    worker=member.name,
                    sent=sent,
                    done=done,
                    applied=applied,
                    names=tuple(message.name for message in change.messages),
                    operation_id=change.operation_id,
                    if_version=change.if_version,
                    version=given.get("version"),
                    start=given.get("start"),
                    replayed=given.get("replayed", False),
                )
            )
        self._judge(answer, member, time.monotonic() - sent)
        return answer

    async def read(
        self, client: str, member: Member, question: Question, patience: float
    ) -> Json | None:
        """
        Read; None: the worker is not there, or went.

        Raises:
            TimeoutError: it took longer than ``patience`` seconds.
        """
        request: Json = {
            "op": "transcript" if question.limit is None else "recent",
            "session": question.session,
            "limit": question.limit,
            "asked": question.asked.value,
            "version": question.version,
        }
        sent = time.monotonic()
        try:
            answer = await member.call(request, patience)
        except GoneError:
            return None
        except TimeoutError:
            self._late(member, patience)
            raise
        done = time.monotonic()
        bodies: list[str] = answer.get("bodies", [])
        self.history.reads.append(
            Read(
                session=question.session,
                client=client,
                worker=member.name,
                sent=sent,
                done=done,
                asked=question.asked,
                answer=_answer(answer),
                limit=question.limit,
                asked_version=question.version,
                version=answer.get("version"),
                first=answer.get("first", 0),
                next=answer.get("next", 0),
                start=answer.get("start", 0),
                sightings=tuple(map(self.sighting, bodies)),
                tier=answer.get("tier", ""),
            )
        )
        self._judge(answer, member, done - sent)
        return answer

    def sighting(self, body: str) -> Sighting:
        """Return what a stored message says it is; equal texts are looked at once."""
        found = self._seen.get(body)
        if found is None:
            try:
                message = orjson.loads(body)
            except orjson.JSONDecodeError:
                message = {}
            found = self._seen[body] = sight(message if isinstance(message, dict) else {})
        return found

    def _late(self, member: Member, patience: float) -> None:
        if patience >= PATIENCE_SECONDS and member.name not in self.paused:
            text = f"{member.name}: no answer in {patience:.1f} s"
            self.scores.judge(Expectation.ENDS, text, kept=False)

    def _judge(self, answer: Json | None, member: Member, seconds: float) -> None:
        if member.name not in self.paused:
            self.longest = max(self.longest, seconds)
            text = f"{member.name}: {seconds:.1f} s"
            self.scores.judge(Expectation.ENDS, text, kept=seconds <= DEADLINE_SECONDS)
        if answer is None or answer["ok"]:
            return
        code, reason = answer["code"], answer["reason"]
        self.refusals[reason if code == "store_unavailable" else code] += 1
        text = f"{member.name}: {code}: {reason}"
        self.scores.judge(Expectation.KNOWN, text, kept=code in _EXPECTED)
        if reason == "the store lost a script":
            self.scores.judge(Expectation.SCRIPTS, f"{member.name}: {reason}", kept=False)


def _answer(answer: Json) -> Answer:
    if answer["ok"]:
        return Answer.ABSENT if answer["version"] is None else Answer.PAGE
    return Answer.LOST if answer["code"] == "version_lost" else Answer.REFUSED
