"""What a test starts begins with the default of each signal, however the tests were started."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import end
from support.project import ROOT

SIGNALS = (signal.SIGINT, signal.SIGHUP)
IGNORED = f"""
import os, signal, sys
for number in {[int(number) for number in SIGNALS]}:
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-P", "-m", "pytest", "-q", *sys.argv[1:]])
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_children_do_not_ignore(number: signal.Signals) -> None:
    """A program that a test starts can be ended by this signal."""
    waiting = ["sleep", "60"]
    with subprocess.Popen(waiting) as process:
        process.send_signal(number)
        assert process.wait(10) == -number


def test_process_that_has_ended() -> None:
    """A process that ends by itself just before it is to be ended is no error."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert end(process.pid) == ""


def test_in_the_background() -> None:
    """So it is in a run that ignores them, as one in the background and under nohup does."""
    tests = f"{Path(__file__).relative_to(ROOT)}::{test_children_do_not_ignore.__name__}"
    ran = subprocess.run(
        [sys.executable, "-c", IGNORED, tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
