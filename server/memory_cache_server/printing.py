"""What commands print: it reaches its reader, or there is none any more."""

import io
import os
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def printed(work: Callable[[], T]) -> T | int:
    """
    Do some work, and have all that it prints written; 1 if it cannot be.

    Nothing is said of a reader that has seen enough. Characters that the output's encoding has
    not are told by their numbers.
    """
    if not sys.stdout:  # it was closed before we began
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  no path; until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return work()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _let_go()
    except OSError as error:
        _let_go()
        print(f"memory-cache: {error}", file=sys.stderr)  # noqa: T201  a command's error
    return 1


def _let_go() -> None:
    """Have what is still buffered go nowhere, or it would be tried again at the very end."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  no path
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
