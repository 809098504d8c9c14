"""The command `memory-cache` on a terminal of its own, as a person runs it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

from support.serving import COMMAND, environment

STYLE = re.compile(r"\x1b\[[0-9;]*m")
ROWS = 40


def on_terminal(*words: str, cwd: Path, columns: int = 100) -> tuple[int, str]:
    """Run a command on a terminal this wide; its exit code, and all that reached the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    variables = environment(TERM="xterm-256color")
    variables.pop("COLUMNS", None)  # it would be taken for the width
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=cwd,
        env=variables,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    parts = []
    # Linux says EIO at the end of a terminal.
    with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123  no path
        try:
            while part := terminal.read(65536):
                parts.append(part)
        except OSError:
            pass
    return process.wait(), b"".join(parts).decode()
