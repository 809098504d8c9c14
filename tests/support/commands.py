"""The command `memory-cache`, run in this process: what it printed, and its exit code."""

import asyncio
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

from memory_cache_server import cli


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of standard output."""
        return self.out.splitlines()[-1]


def command(*words: str, answer: str = "") -> Ran:
    """Run a command to its end; ``answer`` is its standard input."""
    out, err = _output(), _output()
    with redirect_stdout(out), redirect_stderr(err), _input(answer):
        code = cli.run(words)
    return Ran(code, _written(out), _written(err))


async def in_thread(*words: str) -> Ran:
    """Run a command beside the event loop; one at a time, for it takes over what is printed."""
    return await asyncio.to_thread(command, *words)


def _output() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")


def _written(output: io.TextIOWrapper) -> str:
    output.seek(0)
    return output.read()


@contextmanager
def _input(text: str) -> Iterator[None]:
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(text.encode()))
    try:
        yield
    finally:
        sys.stdin = before
