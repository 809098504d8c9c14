import ast
from pathlib import Path

import pytest

from support.project import ROOT, python_files

FILE_LINES = 400
FUNCTION_LINES = 60


@pytest.mark.parametrize(
    "path",
    python_files("memory_cache", "server", "tests", "perf"),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_sizes(path: Path) -> None:
    """No file is longer than 400 lines and no function longer than 60."""
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES, node.name
