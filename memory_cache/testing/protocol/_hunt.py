"""All searches: the protocol in every scenario, and each mutant until it is caught."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from memory_cache.testing.protocol._flaws import Flaw
from memory_cache.testing.protocol._scenarios import EVERYTHING, SCENARIOS, Scenario
from memory_cache.testing.protocol._search import Found, search

Tell = Callable[[str, int, int], None]

F = Flaw
SHOWN_IN: Final[dict[Flaw, str]] = {
    F.APPLIED_AT_REPLY: "own-appends",
    F.ACKNOWLEDGED_AT_REPLY: "own-appends",
    F.LATE_WITHOUT_DOUBT: "own-appends",
    F.OLD_FLIGHT_JOINED: "own-rewrites",
    F.LOADED_BEFORE_OPEN: "loads",
    F.OLDER_CONFIRMATION: "channels",
    F.BETWEEN_IGNORED: "edited-loads",
    F.KEPT_UNCHECKED: "edited-loads",
    F.GAP_IGNORED: "deltas",
    F.GAP_APPLIED: "deltas",
    F.NO_LEASE: "deltas",
    F.LEASE_FROM_RECEIPT: "deltas",
    F.RENEWED_WITHOUT_NONCE: "deltas",
    F.RENEWED_WITHOUT_REPLY: "there-and-back",
    F.NONCE_BESIDE_QUEUE: "deltas",
    F.BARE_PUBLISH: "there-and-back",
    F.ANY_REPLID: "there-and-back",
    F.ANY_PROCESS: "replica",
    F.ANY_EPOCH: "flush",
    F.FILL_OF_ANOTHER_GENERATION: "reconnects",
    F.FILL_OF_AN_OLDER_LOAD: "overflow",
    F.FILL_OF_ANOTHER_ENTRY: "evicted-loads",
    F.ENDED_FENCE_TAKES_EPOCH: "flush-reconnects",
    F.GIVEN_UP_FENCE_RENEWS: "flush",
    F.SILENT_RESUBSCRIBE: "reconnects",
    F.LOST_STAYS_LIVE: "reconnects",
    F.LOST_STAYS_OPEN: "reconnects",
    F.DOUBT_IGNORED: "deltas",
    F.JUDGED_BY_NUMBER: "fork",
    F.HELD_BY_NUMBER: "failover",
    F.WOKEN_BY_NUMBER: "own-failover",
    F.ABSENCE_KEPT: "absence",
    F.PUBLISHED_OUTSIDE: "deltas",
    F.RESENT_WITHOUT_ID: "own-appends",
    F.RECORD_IN_SESSION: "operations",
}
"""The scenario in which a mutant is looked for; it need not be the only one."""

_SOME_OF_EVERYTHING: Final = 100_000


@dataclass(frozen=True, slots=True)
class Result:
    """What one search found. ``flaw``: of the mutant; None: the protocol itself."""

    flaw: Flaw | None
    scenario: Scenario
    found: Found

    @property
    def right(self) -> bool:
        """Whether the protocol holds, or the mutant is caught."""
        return (self.found.counterexample is None) == (self.flaw is None)


def check_protocol(
    *, depth: int | None = None, budget: int | None = None, tell: Tell | None = None
) -> Iterator[Result]:
    """Search every scenario with the protocol as it is."""
    for scenario in SCENARIOS:
        yield _searched(None, scenario, depth, budget, tell)
    yield _searched(None, EVERYTHING, depth, budget or _SOME_OF_EVERYTHING, tell)


def check_mutant(
    flaw: Flaw, *, depth: int | None = None, budget: int | None = None, tell: Tell | None = None
) -> Result:
    """Search for a counterexample to a protocol with this flaw."""
    scenario = next(each for each in SCENARIOS if each.name == SHOWN_IN[flaw])
    return _searched(flaw, scenario, depth, budget, tell)


def _searched(
    flaw: Flaw | None, scenario: Scenario, depth: int | None, budget: int | None, tell: Tell | None
) -> Result:
    title = f"{flaw.title if flaw else 'protocol'} / {scenario.name}"

    def told(states: int, reached: int) -> None:
        if tell is not None:
            tell(title, states, reached)

    found = search(scenario.model(flaw), scenario.start(), depth=depth, budget=budget, tell=told)
    return Result(flaw, scenario, found)
