"""
Follows quickstarts literally, in a fresh copy of the checkout and a fresh environment, with times.

    PYTHONPATH=tests python -m docs.follow docs/quickstart/*.md

It installs packages as the pages say, and needs ports 8000 and 6379, as they do; the data goes to
the copy. It prints how long each block took; the reader's own time is not in it.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from docs.blocks import OUTPUT, Block, blocks, served_port
from support.project import ROOT

WAIT_SECONDS = 60.0
INSTALLS = "pip install"


def main(pages: list[str]) -> None:
    """Follow these pages, one after the other; the first command that fails ends it."""
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            checkout = Path(folder, "checkout")
            ours = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
            shutil.copytree(ROOT, checkout, ignore=ours)
            installing, rest = follow(Path(page).resolve(), checkout)
        print(f"{page}: {installing:.1f} s installing, {rest:.1f} s the rest")


def follow(page: Path, checkout: Path) -> tuple[float, float]:
    """Do what a page says; the seconds of installing, and of all else."""
    seconds = {True: 0.0, False: 0.0}
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for block in blocks(page):
            began = time.monotonic()
            step(block, checkout, servers)
            took = time.monotonic() - began
            seconds[INSTALLS in block.code] += took
            print(f"  {took:5.1f} s  line {block.line}: {block.code.splitlines()[0]}")
    finally:
        for server in servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGINT)
            server.wait(WAIT_SECONDS)
    return seconds[True], seconds[False]


def step(block: Block, checkout: Path, servers: list[subprocess.Popen[bytes]]) -> None:
    """Save a file, run a command to its end, or start a server and wait until it listens."""
    port = served_port(block.code)
    environment = os.environ | {"MEMORY_CACHE_DATA_DIR": str(checkout / "data")}
    if block.language == "python" and not (checkout / block.title).exists():
        (checkout / block.title).write_text(block.code)
    elif port is not None:
        assert not listens(port), f"something listens on port {port} already"
        command = ["bash", "-c", block.code]
        servers.append(subprocess.Popen(command, cwd=checkout, env=environment, process_group=0))
        give_up = time.monotonic() + WAIT_SECONDS
        while not listens(port):
            assert time.monotonic() < give_up, f"nothing listens on port {port}"
            time.sleep(0.01)
    elif block.language == "sh" and block.title != OUTPUT:
        command = ["bash", "-euo", "pipefail", "-c", block.code]
        subprocess.run(command, cwd=checkout, env=environment, check=True)


def listens(port: int) -> bool:
    """Whether there is a server on this port."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main(sys.argv[1:])
