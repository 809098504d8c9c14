import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.project import ROOT, python_files

# Beside the library itself these may look inside it.
INSIDERS = [ROOT / "tests" / "unit", ROOT / "perf" / "micro"]


def outsiders() -> list[Path]:
    """Every Python file of the checkout that must do with public names."""
    return [
        path
        for path in python_files("server", "tests", "perf")
        if not any(path.is_relative_to(folder) for folder in INSIDERS)
    ]


def private_imports(tree: ast.Module) -> Iterator[str]:
    """Every `memory_cache._x`, or private name out of `memory_cache`, that this module imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported = [name.name for name in names]
            case ast.ImportFrom(module=str(module), level=0, names=names):
                imported = [f"{module}.{name.name}" for name in names]
            case _:
                continue
        for name in imported:
            package, *inner = name.split(".")
            if package == "memory_cache" and any(_is_private(part) for part in inner):
                yield f"line {node.lineno}: {name}"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


@pytest.mark.parametrize("path", outsiders(), ids=lambda path: str(path.relative_to(ROOT)))
def test_outsiders_use_public_names(path: Path) -> None:
    """The server, the tests but the unit tests, and the measurements use public names only."""
    assert list(private_imports(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import memory_cache._types",
        "from memory_cache import _types",
        "from memory_cache._types import Session",
        "from memory_cache.testing import _fakes",
    ],
)
def test_private_import_is_seen(code: str) -> None:
    """The check above sees each way to import a private module."""
    assert len(list(private_imports(ast.parse(code)))) == 1
