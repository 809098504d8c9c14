"""The patches: unified diffs of which every hunk must be found exactly once."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_FOLDER = Path(__file__).parent / "diffs"


class Instrument(StrEnum):
    """What can catch a mutant."""

    SIMULATION = "simulation"
    CONTRACT = "contract"
    BENCH = "bench"


class PatchError(Exception):
    """A patch does not apply: the package has changed, and the patch must, too."""


@dataclass(frozen=True, slots=True)
class Patch:
    """
    One broken rule.

    Attributes:
        name: of the file that holds it.
        title: what the mutant does wrong.
        rule: what that breaks: the number of a rule of coherence (docs/design.md), or a word.
        caught_by: the instrument that must catch it.
        options: of that instrument, on its command line.
        held_out: it was looked at only after the simulation's faults were settled.
        changes: file (below the package), text that is there once, text in its place.
    """

    name: str
    title: str
    rule: str
    caught_by: Instrument
    options: tuple[str, ...]
    held_out: bool
    changes: tuple[tuple[str, str, str], ...]

    def apply(self, package: Path) -> None:
        """
        Change the files of a copy of the package.

        Raises:
            PatchError: a text is not there, or more than once.
        """
        for file, old, new in self.changes:
            path = package / file
            text = path.read_text() if path.is_file() else ""
            if f"\n{text}".count(f"\n{old}") != 1:
                raise PatchError(f"{self.name}: in {file} there is not exactly once:\n{old}")
            path.write_text(f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:])


def patches() -> list[Patch]:
    """Return all patches, by name."""
    return [_read(path) for path in sorted(_FOLDER.glob("*.patch"))]


def _read(path: Path) -> Patch:
    head, *files = path.read_text().split("\n--- a/memory_cache/")
    title, *facts = [line.removeprefix("# ") for line in head.splitlines()]
    told = dict(fact.partition(": ")[::2] for fact in facts)
    return Patch(
        name=path.stem,
        title=title,
        rule=told["rule"],
        caught_by=Instrument(told["caught by"]),
        options=tuple(told.get("options", "").split()),
        held_out="held out" in told,
        changes=tuple(change for file in files for change in _changes(file)),
    )


def _changes(diff: str) -> list[tuple[str, str, str]]:
    """Return the hunks of one file."""
    names, *hunks = diff.split("\n@@\n")
    file = names.splitlines()[0]
    return [(file, _side(hunk, " -"), _side(hunk, " +")) for hunk in hunks]


def _side(hunk: str, marks: str) -> str:
    return "".join(f"{line[1:]}\n" for line in hunk.splitlines() if line[:1] in marks)
