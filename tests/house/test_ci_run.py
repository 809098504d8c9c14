"""`.ci/run` finds a Python wherever it is run."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.project import ROOT

FUNCTIONS = re.findall(
    r"^find_\w+\(\) \{.*?^\}", (ROOT / ".ci" / "run").read_text(), re.DOTALL | re.MULTILINE
)


@pytest.mark.parametrize(
    "environment",
    [{}, {"HOME": ""}, {"HOME": "/nonexistent"}, {"PYENV_ROOT": "/nowhere to be found"}],
    ids=["nothing", "no home", "another home", "another root"],
)
def test_odd_environments(environment: dict[str, str]) -> None:
    """That there is no home, or nothing in it, is no failure: there is no other Python, then."""
    bash = shutil.which("bash")
    assert bash is not None
    assert len(FUNCTIONS) == 2
    ran = subprocess.run(
        [bash, "-euo", "pipefail", "-c", "\n".join([*FUNCTIONS, "found=$(find_other_python 0)"])],
        env={"PATH": str(Path(bash).parent), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
