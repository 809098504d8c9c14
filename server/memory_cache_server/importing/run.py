"""All sessions of a source, several at a time."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from memory_cache_server.importing.carry import Carrier, Outcome, State, Ways
from memory_cache_server.importing.found import Read, Source

AT_ONCE: Final = 8


@dataclass(slots=True)
class Report:
    """What became of all sessions, in numbers."""

    states: Counter[State] = field(default_factory=Counter)
    messages: int = 0
    remarks: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.states[outcome.state] += 1
        self.messages += outcome.messages
        self.remarks += bool(outcome.remarks)

    @property
    def whole(self) -> int:
        """How many sessions are here now."""
        return self.states[State.CARRIED] + self.states[State.EQUAL]

    @property
    def all_whole(self) -> bool:
        """Whether everything that is on the source is here."""
        refused = self.states[State.REFUSED] + self.states[State.DIFFERS]
        return not refused and not self.remarks

    def lines(self, ways: Ways) -> list[str]:
        """Return what to say at the end; the last line says it all."""
        said = []
        if self.states[State.EQUAL]:
            said.append(f"{self.states[State.EQUAL]:,} of them were there already, and are equal")
        if self.states[State.GONE]:
            said.append(f"{self.states[State.GONE]:,} expired, or were deleted, before their turn")
        parts = [_several(self.whole, "session"), _several(self.messages, "message")]
        for state, words in ((State.REFUSED, "not carried over"), (State.DIFFERS, "left alone")):
            if self.states[state]:
                parts.append(f"{self.states[state]:,} {words}")
        if self.remarks:
            parts.append(f"{self.remarks:,} not whole")
        if self.all_whole:
            parts.append(_all_well(ways))
        elif ways.dry_run:
            parts.append("nothing written")
        return [*said, ", ".join(parts)]


def _several(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _all_well(ways: Ways) -> str:
    if ways.dry_run:
        return "all can be carried over, nothing written"
    return "all equal" if ways.verify else "all carried over"


async def run(
    source: Source, carrier: Carrier, report: Report, each: Callable[[Outcome | None], None]
) -> None:
    """
    Carry over every session of a source; ``report`` and ``each`` hear what became of one.

    Raises:
        SourceError, StoreError: as `Carrier.carry`; what was carried over until then stays.
    """
    waiting: asyncio.Queue[Read | None] = asyncio.Queue(AT_ONCE)

    async def work() -> None:
        while (read := await waiting.get()) is not None:
            outcome = await carrier.carry(read)
            if outcome is not None:
                report.add(outcome)
            each(outcome)

    async def feed() -> None:
        async with aclosing(source.readings()) as readings:
            async for read in readings:
                await waiting.put(read)
        for _ in range(AT_ONCE):
            await waiting.put(None)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            for _ in range(AT_ONCE):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
