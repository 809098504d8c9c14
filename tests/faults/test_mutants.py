import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import memory_cache
from memory_cache.testing.mutants import Instrument, PatchError, patches, try_patch

MODULE = [sys.executable, "-m", "memory_cache.testing.mutants"]
FAST = ("fence-beside-the-queue", "resend-without-operation-id", "ttl-ignored")
"""Three that the simulation catches within some seeds, and one that needs a real store."""
ON_A_SERVER = "load-on-older-confirmation"


def run(tmp_path: Path, *arguments: str) -> tuple[int, list[dict[str, object]]]:
    """The command's exit status, and its rows."""
    file = tmp_path / "rows.json"
    done = subprocess.run(
        [*MODULE, *arguments, "--json", str(file)], check=False, capture_output=True, timeout=1800
    )
    assert file.is_file(), done.stderr.decode()
    return done.returncode, json.loads(file.read_text())


def test_every_patch_applies(tmp_path: Path) -> None:
    """Each hunk of each patch is in the package exactly once, and is no patch of the tests' own."""
    package = Path(memory_cache.__file__).parent
    assert len(patches()) >= 10
    for patch in patches():
        for file, old, new in patch.changes:
            assert not file.startswith("testing/"), patch.name
            copy = tmp_path / patch.name / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists():
                copy.write_text((package / file).read_text())
            assert old != new
        patch.apply(tmp_path / patch.name)
        for file, _, new in patch.changes:
            assert new in (tmp_path / patch.name / file).read_text()


async def test_a_patch_that_no_longer_applies() -> None:
    """A patch whose text is not there, or is there twice, is an error."""
    patch = patches()[0]
    for old in ("nowhere to be found\n", "\n"):
        file = patch.changes[0][0]
        with pytest.raises(PatchError):
            await try_patch(replace(patch, changes=((file, old, ""),)), Instrument.SIMULATION)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
def test_caught(name: str, tmp_path: Path) -> None:
    """The simulation catches a mutant within some seeds."""
    code, (row,) = run(tmp_path, "--only", name, "--no-control", "--seeds", "200")
    assert (code, row["caught"]) == (0, True)
    assert row["detail"]


@pytest.mark.slow
async def test_caught_by_two_processes() -> None:
    """Two processes that simulate catch a mutant, too, and stop then."""
    patch = next(patch for patch in patches() if patch.name == FAST[0])
    result = await try_patch(patch, Instrument.SIMULATION, ("--seeds", "2000", "--jobs", "2"))
    assert result.caught
    assert result.seeds is not None
    assert result.seeds < 1000


@pytest.mark.slow
def test_caught_on_a_server(tmp_path: Path) -> None:
    """A check on a real server catches a mutant; a copy with nothing broken passes."""
    code, rows = run(tmp_path, "--only", ON_A_SERVER)
    assert code == 0
    assert {(row["mutant"], row["caught"]) for row in rows} == {(ON_A_SERVER, True), (None, False)}


@pytest.mark.slow
def test_not_caught(tmp_path: Path) -> None:
    """A mutant that is not caught fails the run."""
    code, (row,) = run(tmp_path, "--only", "lease-from-receipt", "--no-control", "--seeds", "1")
    assert (code, row["caught"]) == (1, False)
