import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from memory_cache.testing.simulation import simulate

MODULE = [sys.executable, "-m", "memory_cache.testing.simulation"]


def failures(seeds: range) -> dict[int, str]:
    """The seeds in which a promise was broken, and which."""
    return {
        outcome.seed: outcome.anomalies[0] for outcome in map(simulate, seeds) if outcome.anomalies
    }


def test_every_promise_holds() -> None:
    """Under seeded faults every answer is true, and all comes right after them."""
    assert failures(range(300)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 11_000, 500))
def test_every_promise_holds_for_long(first: int) -> None:
    """The same, for many more seeds, on all processors."""
    jobs = str(os.cpu_count() or 1)
    command = [*MODULE, "--first", str(first), "--seeds", "500", "--jobs", jobs]
    done = subprocess.run(command, check=False, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stdout


def test_a_seed_replays_exactly() -> None:
    """A seed gives the same events twice, to the last of them."""
    for seed in range(20):
        assert simulate(seed).events == simulate(seed).events


def test_a_seed_replays_in_another_process() -> None:
    """A seed gives the same events in processes whose sets and dicts hash differently."""
    told = [
        subprocess.run(
            [*MODULE, "--seed", "7", "--trace"],
            check=True,
            capture_output=True,
            timeout=60,
            env={**os.environ, "PYTHONHASHSEED": hashing},
        ).stdout
        for hashing in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count(b"\n") == len(simulate(7).events) + 2


def test_seeds_differ_and_each_meets_something() -> None:
    """Of some seeds every kind of fault is struck, and near cache and store both answer."""
    outcomes = list(map(simulate, range(90)))
    kinds = {fault.kind for outcome in outcomes for fault in outcome.history.faults}
    assert {"kill", "freeze", "takeover", "flush", "evict", "late", "no_reply", "again"} <= kinds
    tiers = [read.tier for outcome in outcomes for read in outcome.history.reads]
    assert min(tiers.count("near"), tiers.count("store")) > 1000


def test_a_broken_promise_is_found() -> None:
    """A near cache that answers without a lease fails within some seeds, at the same event."""
    with mock.patch("memory_cache._coherence.Lease.holds", return_value=True):
        found = next(outcome for outcome in map(simulate, range(300)) if outcome.anomalies)
        again = simulate(found.seed)
    assert again.anomalies == found.anomalies
    assert again.events == found.events
    assert simulate(found.seed).anomalies == []


def test_command_line(tmp_path: Path) -> None:
    """The command ends with 0 where all is well; its figures do not depend on its processes."""
    told = []
    for jobs in ("1", "2"):
        file = tmp_path / f"figures-{jobs}.json"
        command = [*MODULE, "--seeds", "25", "--first", "100", "--jobs", jobs, "--json", str(file)]
        done = subprocess.run(command, check=False, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stdout
        figures = json.loads(file.read_text())
        assert (figures["seeds"], figures["failed"]) == (25, {})
        assert figures.pop("cpu_seconds") > 0
        told.append(figures)
    assert told[0] == told[1]
