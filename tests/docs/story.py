"""
A page followed from top to bottom, as its reader would.

Files are saved, commands run in one folder, servers stay until the end; blocks of Python share
their names, may await, and find `cache`, `chat` and `other_chat` there. Of what a command says
only this is changed: the environment, which is this one, and the two port numbers.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from docs.blocks import OUTPUT, Block, served_port
from memory_cache import open_cache
from support.project import ROOT, pyproject
from support.serving import COMMAND, environment, wait_for

SECONDS = 60.0
SHELLS = {"bash", "sh"}
_INSTALL = re.compile(
    r"(?:python3 -m venv \.venv && )?(?:\.venv/bin/)?pip install ([^&\n]+?)(?: && |$)", re.MULTILINE
)
_COMMAND = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_NUMBER = re.compile(r"\d[\d,]*")
_EXTRAS = re.compile(r"\[([\w,-]+)\]")
_EXAMPLE = re.compile(r"examples/\w+\.py")


class Story:
    """One page in the making; leave the block, and its servers end."""

    def __init__(self, folder: Path, redis_url: str, ports: Mapping[int, int]) -> None:
        self.left_out: list[str] = []
        self._folder = folder
        self._ports = ports
        self._printed: str | None = None
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._ends = contextlib.ExitStack()
        self._runner = asyncio.Runner()
        self._redis_url = redis_url
        command = folder / "bin" / "memory-cache"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
        command.chmod(0o755)
        compiled = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=compiled)
        for path in (folder / "examples").iterdir():
            path.write_text(self._here(path.read_text()))

    def __enter__(self) -> Self:
        self._ends.enter_context(self._runner)
        caches = contextlib.AsyncExitStack()
        self._ends.callback(lambda: self._runner.run(caches.aclose()))
        self._runner.run(self._open(caches))
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def tell(self, block: Block) -> None:
        """Do what a block says."""
        code = self._here(block.code)
        if block.title == OUTPUT:
            self._compare(".*".join(map(re.escape, code.strip().split("…"))))
            return
        self._printed = None
        if block.title:
            (self._folder / block.title).write_text(code)
        elif block.language in SHELLS and not self._lacks(block, _programs(code)):
            self._shell(code)
        elif block.language == "console":
            self._console(code)
        elif block.language == "python" and not self._lacks(block, _imports(block.code)):
            self._python(code, str(block))

    async def _open(self, caches: contextlib.AsyncExitStack) -> None:
        for name in ("chat", "other_chat"):
            cache = await caches.enter_async_context(open_cache(self._redis_url))
            self._names |= {"cache": cache, name: cache.session("chat", namespace="docs")}

    def _here(self, text: str) -> str:
        for written, port in self._ports.items():
            text = re.sub(rf"\b{written}\b", str(port), text)
        return text

    def _lacks(self, block: Block, wanted: list[str]) -> bool:
        """Whether something that a block needs is missing here; then it is left out."""
        missing = [name for name in wanted if not (shutil.which(name) or _importable(name))]
        self.left_out += [f"{block} needs {name}" for name in missing[:1]]
        return bool(missing)

    def _python(self, code: str, name: str) -> None:
        compiled = compile(code, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            if compiled.co_flags & inspect.CO_COROUTINE:
                self._runner.run(eval(compiled, self._names))  # noqa: S307  our own documentation
            else:
                exec(compiled, self._names)  # noqa: S102  as above
        self._printed = printed.getvalue()

    def _shell(self, code: str) -> None:
        for install in _INSTALL.finditer(code):
            _check_install(install[1])
        code = _INSTALL.sub("", code).strip()
        port = served_port(code)
        code = code.replace(".venv/bin/memory-cache", "memory-cache")
        code = code.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        if port is not None:
            self._serve(code, self._ports[port])
        elif code:
            self._run(code)

    def _console(self, code: str) -> None:
        """Run what stands behind `$`, and compare what it prints, any number for a number."""
        for command, printed in _COMMAND.findall(code):
            self._shell(command)
            self._compare(_NUMBER.sub(r"[\\d,]+", re.escape(printed.strip())))

    def _compare(self, expected: str) -> None:
        """Hold what was printed against a pattern; a block that was left out printed nothing."""
        if self._printed is not None:
            assert re.fullmatch(expected, self._printed.strip(), re.DOTALL), self._printed

    def _run(self, code: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],  # noqa: S607  found on the path everywhere
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
        self._printed = done.stdout

    def _serve(self, code: str, port: int) -> None:
        with (self._folder / f"log-{port}").open("wb") as log:
            server = subprocess.Popen(
                ["bash", "-c", code],  # noqa: S607  as above
                cwd=self._folder,
                env=self._environment(),
                stdout=log,
                stderr=log,
                process_group=0,
            )
        self._ends.callback(_stop, server)
        wait_for(lambda: server.poll() is not None or _listens(port), f"{code} at {port}")
        assert server.poll() is None, (self._folder / f"log-{port}").read_text()

    def _environment(self) -> dict[str, str]:
        return environment(
            PATH=f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            PORT=str(self._ports[8000]),
            MEMORY_CACHE_DATA_DIR=str(self._folder / "data"),
        )


def _stop(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGINT)  # as Ctrl-C does
    server.wait(SECONDS)


def _programs(code: str) -> list[str]:
    """What beside the shell a block needs: a program it names, modules of an example it runs."""
    wanted = [name for name in ("curl", "java", "node") if re.search(rf"\b{name} ", code)]
    for example in _EXAMPLE.findall(code):
        wanted += _imports((ROOT / example).read_text())
    return wanted


def _imports(code: str) -> list[str]:
    """The modules that a program imports, those among them that an adapter is for."""
    found: list[str] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    for adapter in {name for name in found if name.startswith("memory_cache.adapters.")}:
        spec = find_spec(adapter)
        if spec is not None and spec.origin is not None:
            found += _imports(Path(spec.origin).read_text())
    return found


def _importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _check_install(arguments: str) -> None:
    """Check an installation that is not done again: that what it asks of this project is there."""
    for word in shlex.split(arguments):
        if word.startswith((".", "memory-cache")):
            extras = {extra for found in _EXTRAS.findall(word) for extra in found.split(",")}
            assert extras <= set(pyproject()["project"]["optional-dependencies"]), word


def _listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0
