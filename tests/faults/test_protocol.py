"""The model of the protocol: it holds, its mutants do not, and its table is the real one."""

import json
from typing import Any

import pytest

from memory_cache.testing.protocol import (
    DEMOTED,
    SCENARIOS,
    TRANSITIONS,
    Effect,
    Event,
    Flaw,
    Scenario,
    State,
    check_mutant,
    search,
)
from memory_cache.testing.protocol.__main__ import main

LARGE = {
    "loads",
    "channels",
    "own-appends",
    "reconnects",
    "failover",
    "flush-reconnects",
    "absence",
}
"""Scenarios of more than 15,000 states."""

QUICK = {
    Flaw.KEPT_UNCHECKED,
    Flaw.LEASE_FROM_RECEIPT,
    Flaw.FILL_OF_AN_OLDER_LOAD,
    Flaw.JUDGED_BY_NUMBER,
}

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

IGNORED_GAP = (State.LIVE, Event.GAP), (State.LIVE, Effect.NONE)


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(each, id=each.name, marks=[pytest.mark.slow] * (each.name in LARGE))
        for each in SCENARIOS
    ],
)
def test_the_protocol_holds(scenario: Scenario) -> None:
    """In no order of what may happen in a scenario is a promise broken."""
    found = search(scenario.model(), scenario.start())
    assert found.counterexample is None, "\n".join(found.counterexample.lines())
    assert found.whole


@pytest.mark.parametrize(
    "flaw",
    [
        pytest.param(each, id=each.title, marks=[pytest.mark.slow] * (each not in QUICK))
        for each in Flaw
    ],
)
def test_a_mutant_is_caught(flaw: Flaw) -> None:
    """A protocol that leaves one rule out breaks a promise, and the search shows how."""
    result = check_mutant(flaw)
    assert result.right, f"{flaw.words}: nothing found in {result.found.states} states"


def test_every_rule_has_a_mutant() -> None:
    """Each of the eight rules is left out at least once."""
    assert {flaw.rule for flaw in Flaw} >= set(range(1, 9))


def test_the_model_steps_by_the_real_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry changed in the table of the library itself breaks the model's protocol."""
    deltas = BY_NAME["deltas"]
    assert deltas.model().transitions is TRANSITIONS
    monkeypatch.setitem(TRANSITIONS, *IGNORED_GAP)
    assert search(deltas.model(), deltas.start()).counterexample is not None


def test_a_copied_table_with_one_entry_changed_is_caught() -> None:
    """A copy of the table holds as the table does, until one entry is another."""
    deltas, copied = BY_NAME["deltas"], dict(TRANSITIONS)
    assert search(deltas.model(table=copied), deltas.start()).counterexample is None
    copied[State.LIVE, Event.GAP] = (State.LIVE, Effect.APPLY)
    assert search(deltas.model(table=copied), deltas.start()).counterexample is not None


@pytest.mark.slow
def test_every_transition_is_taken() -> None:
    """The model takes every entry of the table, but for two that the library never takes."""
    taken: set[tuple[State, Event]] = set()

    class Watched(dict[tuple[State, Event], tuple[State, Effect]]):
        def get(self, key: tuple[State, Event], default: object = None) -> Any:  # noqa: ANN401  # as dict.get
            taken.add(key)
            return super().get(key, default)

    for scenario in SCENARIOS:
        search(scenario.model(table=Watched(TRANSITIONS)), scenario.start(), budget=15_000)
    never = {(State.OPENING, Event.ASKED), (State.LOADING, Event.FETCHED)}
    assert TRANSITIONS.keys() - taken == never


def test_a_demoted_node_may_answer_with_what_is_old() -> None:
    """The model can see what is not promised: a read at a node that is no primary any more."""
    assert search(DEMOTED.model(), DEMOTED.start()).counterexample is not None


def test_the_command_prints_a_numbered_interleaving(capsys: pytest.CaptureFixture[str]) -> None:
    """The command tells how a mutant breaks a promise, step by step, and ends with 0."""
    assert main(["--mutant", "no-lease"]) == 0
    told = capsys.readouterr().out
    assert "caught" in told
    assert "   1. " in told
    assert "   => the near cache answers v1, which was replaced more than T ago" in told


def test_the_command_fails_when_a_mutant_is_not_caught(capsys: pytest.CaptureFixture[str]) -> None:
    """Within bounds that are too small a mutant lives, and the command ends with 1."""
    assert main(["--mutant", "no-lease", "--depth", "1", "--json"]) == 1
    (document,) = json.loads(capsys.readouterr().out)
    assert document["mutant"] == "no-lease"
    assert document["steps"] is None
