import re

from support.project import ROOT


def test_ci_runs_the_readme_test_command() -> None:
    """A line of a bash block in the README is, letter for letter, what `.ci/run` runs."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```bash\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    ci_run = (ROOT / ".ci" / "run").read_text()
    [command] = re.findall(r"^test_command='(.+)'$", ci_run, re.MULTILINE)
    assert command in [line for block in blocks for line in block.splitlines()]
