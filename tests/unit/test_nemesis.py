import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from memory_cache.testing.faults.ground import Stage
from memory_cache.testing.faults.nemesis import Nemesis
from memory_cache.testing.faults.table import FAULTS


@pytest.mark.parametrize("stage", Stage)
def test_every_fault_has_its_turn(stage: Stage) -> None:
    """Each fault that a stage allows is drawn in it; none is crowded out by those it alone has."""
    ground: Any = SimpleNamespace(stage=stage, random=random.Random(1), members=range(3))
    nemesis = Nemesis(cast("Any", ground), list(FAULTS.values()), 1.0, "1")
    drawn = {kind.name for _ in range(3000) for kind in nemesis._draw()}
    allowed = {kind.name for kind in FAULTS.values() if stage in kind.stages}
    if stage is not Stage.SAFE:
        # These have a round for what is theirs; what overlaps with nothing is for the safe ones.
        allowed -= {k.name for k in FAULTS.values() if k.alone and k.stages != {stage}}
    assert drawn >= allowed
