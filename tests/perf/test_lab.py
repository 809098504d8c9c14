"""The perf lab: every command, quickly. Whether it works and answers are right, not how fast."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.project import ROOT

WAIT_SECONDS = 240
MISSED, FAILED, INTERRUPTED = 1, 2, 130
PNG = b"\x89PNG\r\n"

CASES = [
    (("story1",), 5, 30),
    (("baseline",), 1, 5),
    (("micro",), 1, 15),
    (("memory",), 3, 10),
    (("fanout",), 1, 4),
    (("propagation",), 1, 8),
    (("followers",), 1, 18),
    (("http",), 1, 10),
    (("peers",), 1, 12),
    (("compare", ".", "."), 0, 3),
]
"""The command, how many pictures it draws, and how many claims it makes at least."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose path has the checkout's `perf`, and nothing else of the checkout."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "perf").symlink_to(ROOT / "perf")
    path = [str(folder), os.environ.get("PYTHONPATH", "")]
    # The lab runs a pytest of its own, which is no part of this one.
    outside = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    return outside | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONSAFEPATH": "1"}


def lab(*words: str, environment: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the lab to its end."""
    return subprocess.run(
        [sys.executable, "-m", "perf", *words],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(("words", "pictures", "claims"), CASES, ids=[case[0][0] for case in CASES])
def test_command(
    words: tuple[str, ...],
    pictures: int,
    claims: int,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """Each command measures, checks its answers, and writes JSON, pictures and one page."""
    ended = lab(*words, "--quick", "--out", "out", environment=environment, cwd=tmp_path)
    assert ended.returncode in {0, MISSED}, ended.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    verdicts = found["verdicts"]
    assert found["quick"] is True
    assert len(verdicts) >= claims
    assert all(math.isfinite(row["measured"]) for row in verdicts)
    assert (ended.returncode == MISSED) == any(row["verdict"] == "short" for row in verdicts)
    assert all(row["claim"] in ended.stdout for row in verdicts)
    drawn = list((tmp_path / "out").glob("*.png"))
    assert len(drawn) == pictures
    assert all(picture.read_bytes().startswith(PNG) for picture in drawn)
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("data:image/png;base64,") == pictures
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_interrupt(environment: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-C in the middle ends the measurement and every process it has started."""
    marked = environment | {"PERF_TEST_MARK": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "perf", "story1", "--quick", "--out", str(tmp_path / "out")],
        env=marked,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "is ready" in line:  # our server's worker: so all that comes before runs, too
                break
        assert len(_marked(tmp_path)) > 1
        running.send_signal(signal.SIGINT)
        assert running.wait(WAIT_SECONDS) == INTERRUPTED
        left = _marked(tmp_path)
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)
    assert left == []


def _marked(mark: Path) -> list[str]:
    """Process ids of those that have our mark in their environment."""
    wanted = f"PERF_TEST_MARK={mark}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:  # it has ended, or is not ours
            continue
    return found


def test_wrong_answer_fails(environment: dict[str, str], tmp_path: Path) -> None:
    """Locust ends with 1 when a server answers wrongly: here one that only echoes PUTs."""
    code = (
        "import asyncio\n"
        "from perf.servers import process\n"
        "from perf.story1.swarm import WrongAnswerError, swarm\n"
        "async def main():\n"
        "    async with process('-m', 'perf.noop', '--drain') as (_, port):\n"
        "        await swarm('Echo', f'http://127.0.0.1:{port}', sizes='10', turns=2)\n"
        "        try:\n"
        "            await swarm('Append', f'http://127.0.0.1:{port}', sizes='10', turns=2)\n"
        "        except WrongAnswerError:\n"
        "            print('noticed')\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert ended.stdout == "noticed\n", ended.stderr


def test_command_that_cannot_measure(environment: dict[str, str], tmp_path: Path) -> None:
    """A measurement that failed ends with 2, which no missed target does."""
    ended = lab("compare", "no-such-revision", ".", environment=environment, cwd=tmp_path)
    assert ended.returncode == FAILED
    assert "no-such-revision" in ended.stderr
