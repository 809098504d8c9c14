import os
import re
import subprocess
import sys
import sysconfig
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.project import ROOT, pyproject

PACKAGES = ["memory_cache", "memory_cache_server"]

installed_only = pytest.mark.skipif(
    "PYTHONSAFEPATH" not in os.environ, reason="only tox installs the wheel"
)


@pytest.mark.parametrize("package", PACKAGES)
@installed_only
def test_packages_come_from_site_packages(package: str) -> None:
    """The tests run what the wheel installed, not the checkout they lie in."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(sysconfig.get_path("purelib"))


@pytest.mark.parametrize("package", PACKAGES)
@installed_only
def test_subprocesses_use_site_packages_too(package: str) -> None:
    """A server started from the checkout's root runs what the wheel installed."""
    code = f"import {package}; print({package}.__file__)"
    origin = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert Path(origin).is_relative_to(sysconfig.get_path("purelib"))


@installed_only
def test_wheel_installs_our_names_only() -> None:
    """Installing the wheel puts no `server`, `tests` or `perf` on anybody's path."""
    names = {path.parts[0] for path in files("agent-memory-cache") or [] if path.parts[0] != ".."}
    assert {name for name in names if not name.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package: str) -> None:
    """Both installed packages tell type checkers that they are typed."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).with_name("py.typed").is_file()


def test_lua_in_wheel() -> None:
    """Every Lua script of the checkout is installed beside the module that runs it, unchanged."""
    spec = find_spec("memory_cache")
    assert spec is not None
    assert spec.origin is not None
    scripts = Path("_redis", "scripts")
    installed = {path.name: path.read_bytes() for path in _lua(Path(spec.origin).parent / scripts)}
    written = {path.name: path.read_bytes() for path in _lua(ROOT / "memory_cache" / scripts)}
    assert written
    assert installed == written


def test_install_lines_work_in_a_checkout() -> None:
    """
    What pages and messages tell people to install is this checkout, with extras that exist.

    The name `memory-cache` on the registry is another project's.
    """
    extras = set(pyproject()["project"]["optional-dependencies"])
    told = [
        line
        for folder in ("docs", "memory_cache", "server", "perf", "examples")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".md", ".py"}
        for line in path.read_text().splitlines()
        if "pip install" in line
    ]
    named = [name for line in told for name in re.findall(r"\[([\w,-]+)\]", line)]
    assert len(named) > len(PACKAGES)
    assert {extra for name in named for extra in name.split(",")} <= extras
    assert not [line for line in told if re.search(r"(?<!\.)memory-cache\[", line)]


def _lua(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.lua"))


@pytest.mark.parametrize("name", ["uvicorn", "hiredis", "cachetools"])
def test_private_parts_are_held(name: str) -> None:
    """A package of which more is used than is documented is held to what was tried."""
    project = pyproject()["project"]
    needs = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    (bounds,) = [each for each in needs if re.match(rf"{name}\b", each)]
    assert re.search(r">=[\d.]+,<[\d.]+$", bounds)
