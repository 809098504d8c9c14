"""The checkout the tests lie in."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def pyproject() -> dict[str, Any]:
    """`pyproject.toml`, parsed."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def python_files(*folders: str) -> list[Path]:
    """Every Python file under these folders of the checkout, in order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
