"""Every fault the bench knows: the one list that the nemesis draws from, and that is printed."""

from typing import Final

from memory_cache.testing.faults.ground import Kind, Stage
from memory_cache.testing.faults.levers import LEVERS
from memory_cache.testing.faults.links import LINKS
from memory_cache.testing.faults.lives import LIVES
from memory_cache.testing.faults.workers import WORKERS

FAULTS: Final[dict[str, Kind]] = {kind.name: kind for kind in (*LINKS, *WORKERS, *LEVERS, *LIVES)}

ELSEWHERE: Final = {
    38: "the server's own tests start it twice on one folder, and kill the parent of its store",
}
"""Rows of the failure catalogue that belong to the bench's list and have their proof elsewhere."""


def listing() -> str:
    """Return the table as text."""
    lines = [f"{'fault':<18}{'rows':<10}{'rounds':<19}right behaviour, beside a clean history"]
    for kind in FAULTS.values():
        rows = ", ".join(map(str, kind.rows))
        stages = ", ".join(stage.value for stage in Stage if stage in kind.stages)
        lines.append(f"{kind.name:<18}{rows:<10}{stages:<19}{kind.right}")
    lines += [f"{'(elsewhere)':<18}{row:<29}{text}" for row, text in ELSEWHERE.items()]
    return "\n".join(lines)
