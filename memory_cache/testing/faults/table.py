"""Every fault the bench knows: the one list that the nemesis draws from, and that is printed."""

from typing import Final

from memory_cache.testing.faults.ground import Kind, Stage
from memory_cache.testing.faults.levers import LEVERS
from memory_cache.testing.faults.links import LINKS
from memory_cache.testing.faults.lives import LIVES
from memory_cache.testing.faults.logs import LOGS
from memory_cache.testing.faults.supervisor import SUPERVISOR
from memory_cache.testing.faults.workers import WORKERS

_ALL: Final = (*LINKS, *WORKERS, *LEVERS, *LIVES, *LOGS, *SUPERVISOR)

FAULTS: Final[dict[str, Kind]] = {kind.name: kind for kind in _ALL}


def listing() -> str:
    """Return the table as text."""
    lines = [f"{'fault':<18}{'rows':<10}{'rounds':<19}right behaviour, beside a clean history"]
    for kind in FAULTS.values():
        rows = ", ".join(map(str, kind.rows))
        stages = ", ".join(stage.value for stage in Stage if stage in kind.stages)
        lines.append(f"{kind.name:<18}{rows:<10}{stages:<19}{kind.right}")
    return "\n".join(lines)
