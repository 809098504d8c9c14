import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.project import ROOT, pyproject

IMPURE_MODULES = {
    "asyncio",
    "concurrent",
    "http",
    "redis",
    "select",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
}
CLOCK_METHODS = {"now", "utcnow", "today"}


def lower_floors() -> list[Path]:
    """The files of the floors below the ports, as the import contract lists them."""
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    [floors] = [contract["layers"] for contract in contracts if contract["id"] == "floors"]
    below = floors[floors.index("(_ports) | (_ending)") + 1 :]
    names = [name.strip(" ()") for floor in below for name in floor.split("|")]
    paths = [ROOT / "memory_cache" / f"{name}.py" for name in names if name != "_single_flight"]
    return [path for path in paths if path.exists()]


def impurities(tree: ast.Module) -> Iterator[str]:
    """What in this module waits, reads a clock or does I/O: line and kind."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported = {name.name.partition(".")[0] for name in names}
                yield from (f"{line(node)} imports {name}" for name in imported & IMPURE_MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in IMPURE_MODULES:
                yield f"{line(node)} imports from {module}"
            case ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith() | ast.Await():
                yield f"{line(node)} async"
            case ast.comprehension(is_async=1, target=target):
                yield f"{line(target)} async"
            case ast.Call(func=ast.Name(id="open")):
                yield f"{line(node)} opens a file"
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in CLOCK_METHODS:
                yield f"{line(node)} reads the clock"


def line(node: ast.stmt | ast.expr) -> str:
    """Where a reader finds this node."""
    return f"line {node.lineno}:"


@pytest.mark.parametrize("path", lower_floors(), ids=lambda path: path.stem)
def test_lower_floors_are_pure(path: Path) -> None:
    """Below the ports nothing waits, reads a clock or does I/O."""
    assert list(impurities(ast.parse(path.read_text()))) == []


def test_lower_floors_are_found() -> None:
    """The list above is not empty, nor are its files another project's."""
    assert ROOT / "memory_cache" / "_types.py" in lower_floors()


@pytest.mark.parametrize(
    "code",
    [
        "import asyncio",
        "import redis.asyncio",
        "from time import monotonic",
        "def f():\n    import socket",
        "async def f(): pass",
        "f = lambda xs: [x async for x in xs]",
        "datetime.now(UTC)",
        "open('x')",
    ],
)
def test_impurity_is_seen(code: str) -> None:
    """The check above sees each kind of impurity, at any depth."""
    assert len(list(impurities(ast.parse(code)))) == 1
