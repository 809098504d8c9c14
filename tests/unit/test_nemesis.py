import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from memory_cache.testing.faults.ground import Stage
from memory_cache.testing.faults.nemesis import Nemesis
from memory_cache.testing.faults.table import FAULTS


@pytest.mark.parametrize("stage", Stage)
def test_every_fault_has_its_turn(stage: Stage) -> None:
    """Each fault has a stage in which it is dealt: none is crowded out by another."""
    ground: Any = SimpleNamespace(stage=stage, random=random.Random(1), members=range(3))
    nemesis = Nemesis(cast("Any", ground), list(FAULTS.values()), 1.0, "1")
    drawn = {kind.name for _ in range(3000) for kind in nemesis._draw()}
    here = [kind for kind in FAULTS.values() if stage in kind.stages]
    # Beside a safe store there are rounds for what only a lossy one, or a small disk, allows.
    own = here if stage is Stage.SAFE else [kind for kind in here if kind.stages == {stage}]
    assert drawn >= {kind.name for kind in own}
