"""What a measurement says in the end: ratios beside their targets, raw data, pictures."""

import json
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim: a ratio and the most (or least) that it may be; without a target, a figure."""

    claim: str
    measured: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def short(self) -> bool:
        """Whether the target was missed."""
        over = self.at_most is not None and self.measured > self.at_most
        return over or (self.at_least is not None and self.measured < self.at_least)

    @property
    def target(self) -> str:
        """The target as people write it."""
        if self.at_most is not None:
            return f"≤ {figure(self.at_most)}"
        return "–" if self.at_least is None else f"≥ {figure(self.at_least)}"

    @property
    def word(self) -> str:
        """Pass, short, or nothing to pass."""
        if self.at_most is None and self.at_least is None:
            return "–"
        return "short" if self.short else "pass"


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot in the folder, and what it shows."""

    file: str
    caption: str


@dataclass(slots=True)
class Outcome:
    """All that one command found."""

    name: str
    verdicts: list[Verdict] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def short(self) -> bool:
        """Whether any target was missed."""
        return any(verdict.short for verdict in self.verdicts)

    def document(self, *, quick: bool) -> dict[str, Any]:
        """Return what ``results.json`` holds."""
        rows = [asdict(v) | {"target": v.target, "verdict": v.word} for v in self.verdicts]
        return {
            "name": self.name,
            "quick": quick,
            "machine": machine(),
            "verdicts": rows,
            "notes": self.notes,
            "data": self.data,
        }


def figure(value: float) -> str:
    """Write a number with four significant digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table(verdicts: list[Verdict]) -> str:
    """Return the verdicts as text."""
    rows = [("claim", "measured", "target", "verdict")]
    rows += [(v.claim, figure(v.measured), v.target, v.word) for v in verdicts]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{claim:<{widths[0]}}  {measured:>{widths[1]}}  {target:>{widths[2]}}  {word}"
        for claim, measured, target, word in rows
    )


def machine() -> dict[str, str | int]:
    """Return when, and on what."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = f"{len(names)} × {names[0].partition(':')[2].strip()}" if names else cpu
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "revision": _revision(),
    }


def save(outcome: Outcome, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Write ``results.json`` and return what is in it."""
    document = outcome.document(quick=quick)
    (folder / "results.json").write_text(json.dumps(document, indent=1, ensure_ascii=False))
    return document


def _revision() -> str:
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"
