from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from memory_cache.testing.faults.store import Store
from memory_cache.testing.mutants.lane_checks import LANE_CHECKS, LaneCheck


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store that may be stopped and demoted."""
    async with Store.running(tmp_path / "store") as store:
        yield store


@pytest.mark.parametrize("check", LANE_CHECKS, ids=lambda check: check.__name__)
async def test_lane(store: Store, check: LaneCheck) -> None:
    """A lane keeps each of its promises on a real Valkey."""
    await check(store)
