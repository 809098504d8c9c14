"""What a campaign showed, as text for people and as JSON."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from memory_cache.testing.checker import Anomaly
from memory_cache.testing.faults.rounds import Plan, Result
from memory_cache.testing.faults.scores import Expectation, Scores
from memory_cache.testing.history import Answer, Applied, Fault, History, Read, Write, WriteKind

_SHOWN: Final = 20
_AFTER_SECONDS: Final = 1.0
"""For how long after its heal a fault still counts as what a read was under."""


class Report:
    """The sum of rounds; ``is_clean`` says whether nothing was wrong."""

    def __init__(self, seed: int) -> None:
        """Begin with nothing."""
        self.seed = seed
        self.rounds = 0
        self.faults: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.losses: Counter[str] = Counter()
        self.scores = Scores()
        self.anomalies: list[tuple[int, Anomaly]] = []
        self.staleness: dict[str, list[float]] = defaultdict(list)
        self.recoveries: dict[str, list[float]] = defaultdict(list)
        self.longest = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether there is no anomaly, and every expectation was kept."""
        return not self.anomalies and not self.scores.broken

    def skip(self, plan: Plan, reason: str) -> None:
        """Count a stage that cannot be had here."""
        for kind in plan.kinds:
            if kind.stages == {plan.stage}:
                self.skipped[f"{kind.name}: {reason}"] += 1

    def add(self, result: Result) -> None:
        """Add a round."""
        ground, nemesis, verdict = result.ground, result.nemesis, result.verdict
        self.rounds += 1
        self.faults.update(fault.kind for fault in result.history.faults if not fault.may_lose)
        self.skipped.update(f"{name}: {reason}" for name, reason in nemesis.skipped)
        self.counts.update(ground.counts)
        self.refusals.update(ground.recorder.refusals)
        for loss in verdict.losses:
            self.losses[loss.fault] += len(loss.names)
        self.scores.add(result.scores)
        self.anomalies += [(result.plan.number, anomaly) for anomaly in verdict.anomalies]
        for name, seconds in nemesis.recoveries.items():
            self.recoveries[name] += seconds
        self.longest = max(self.longest, ground.recorder.longest)
        self._count(result.history)
        old = {id(each.read): each.seconds for each in verdict.staleness}
        for read in result.history.reads:
            if read.answer is Answer.PAGE:
                for name in _under(read, result.history):
                    self.staleness[name].append(old.get(id(read), 0.0))

    def _count(self, history: History) -> None:
        for write in history.writes:
            self.operations[f"{write.kind.value} {_OUTCOMES[write.applied]}"] += 1
            if write.kind is WriteKind.APPEND and write.applied is Applied.YES:
                self.operations["messages appended"] += len(write.names)
                is_amid = any(_covers(fault, write) for fault in history.faults)
                self.operations["append acknowledged amid a fault"] += is_amid
        self.operations.update(f"read {read.answer.value}" for read in history.reads)
        self.operations.update(f"read from {read.tier}" for read in history.reads if read.tier)

    def line(self) -> str:
        """Return the sum in a few words."""
        done = self.operations["append acknowledged"]
        return f"{self.faults.total()} faults, {done} appends, {len(self.anomalies)} anomalies"

    def document(self) -> dict[str, Any]:
        """Return all of it as what JSON can hold."""
        broken = Counter(name for name, _ in self.scores.broken)
        return {
            "seed": self.seed,
            "rounds": self.rounds,
            "clean": self.is_clean,
            "faults": dict(sorted(self.faults.items())),
            "skipped": dict(self.skipped),
            "counts": dict(sorted(self.counts.items())),
            "operations": dict(sorted(self.operations.items())),
            "refusals": dict(self.refusals),
            "losses": dict(self.losses),
            "anomalies": [
                {"round": number, "kind": each.kind, "session": each.session, "text": each.text}
                for number, each in self.anomalies
            ],
            "expectations": [
                {
                    "name": each.name,
                    "text": each,
                    "kept": self.scores.kept[each],
                    "broken": broken[each],
                }
                for each in Expectation
            ],
            "broken": [[name.name, text] for name, text in self.scores.broken],
            "staleness": {name: _spread(self.staleness[name]) for name in sorted(self.staleness)},
            "recovery": {name: _spread(self.recoveries[name]) for name in sorted(self.recoveries)},
            "longest_request_seconds": round(self.longest, 3),
        }

    def text(self) -> str:
        """Return all of it for people."""
        found = self.document()
        lines = [
            f"seed {self.seed}, {self.rounds} rounds, {self.line()}",
            "",
            f"{'':<24}{'':>6}   {'seconds to recovery':^22}   {'seconds a read was stale':^22}",
            f"{'fault':<24}{'times':>6}   {_COLUMNS}   {_COLUMNS}",
        ]
        lines += [self._row(name) for name in sorted({*self.faults, *self.staleness})]
        for title in ("counts", "operations", "refusals", "losses", "skipped"):
            if found[title]:
                lines += ["", f"{title}:"]
                lines += [f"{count:>10}  {name}" for name, count in found[title].items()]
        lines += ["", f"{'kept':>10}{'broken':>8}  expectation"]
        for each in found["expectations"]:
            lines.append(f"{each['kept']:>10}{each['broken']:>8}  {each['text']}")  # plainer
        wrong = [f"round {number}: {each.kind}: {each.text}" for number, each in self.anomalies]
        wrong += [f"broken: {name}: {text}" for name, text in self.scores.broken]
        if wrong:
            lines += ["", f"WRONG: {len(wrong)}, of which the first:", *wrong[:_SHOWN]]
        return "\n".join(lines)

    def _row(self, name: str) -> str:
        spreads = (_spread(found.get(name, ())) for found in (self.recoveries, self.staleness))
        numbers = "   ".join(
            f"{each['p50']:>6.3f}{each['p99']:>8.3f}{each['max']:>8.3f}" for each in spreads
        )
        return f"{name:<24}{self.faults[name]:>6}   {numbers}"


_COLUMNS: Final = f"{'p50':>6}{'p99':>8}{'max':>8}"
_OUTCOMES: Final = {
    Applied.YES: "acknowledged",
    Applied.NO: "refused",
    Applied.UNKNOWN: "unknown",
}


def _covers(fault: Fault, write: Write) -> bool:
    return write.done is not None and fault.began <= write.sent and write.done <= fault.ended


def _under(read: Read, history: History) -> Iterable[str]:
    """Name what a read was under."""
    names = {
        fault.kind
        for fault in history.faults
        if not fault.may_lose and fault.began <= read.sent <= fault.ended + _AFTER_SECONDS
    }
    return names or {"(none)"}


def _spread(numbers: Sequence[float]) -> dict[str, float]:
    if not numbers:
        return {"count": 0, "p50": 0.0, "p99": 0.0, "max": 0.0}
    ranked = sorted(numbers)
    return {
        "count": len(ranked),
        "p50": round(ranked[len(ranked) // 2], 4),
        "p99": round(ranked[len(ranked) * 99 // 100], 4),
        "max": round(ranked[-1], 4),
    }
