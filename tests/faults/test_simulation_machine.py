from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from memory_cache import BOUNDED, NEWEST, CacheConfig, Consistency, SessionKey, at_least
from memory_cache.testing.simulation import Client, Engine, Nemesis, judge, settle

CONFIG = CacheConfig(staleness_seconds=0.5, sweep_seconds=2.0, store_timeout_seconds=0.2)
CONFIGS = (
    replace(CONFIG, ring_messages=4),
    replace(CONFIG, near_cache_bytes=6000),
    replace(CONFIG, delta_bytes=150),
)
KEYS = (SessionKey("", "", "s"), SessionKey("a", "", "s"))
WORKERS = st.integers(0, len(CONFIGS) - 1)
SESSIONS = st.sampled_from(KEYS)
SIZES = st.sampled_from([[20], [20], [20, 20], [300], [20] * 70])
SECONDS = st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.2, 0.6])


class Machine(RuleBasedStateMachine):
    """Drives the engine that the seeds drive; Hypothesis chooses, and shrinks what it finds."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        """Start the workers."""
        self.engine = Engine(seed, CONFIGS)
        self.nemesis = Nemesis(self.engine, KEYS, self.engine.random)
        self.client = Client(self.engine, "c")
        self.engine.run(self.engine.start())

    def teardown(self) -> None:
        """In the end all comes right."""
        try:
            self.engine.run(settle(self.engine, self.nemesis, KEYS))
            judge(self.engine)
            assert self.engine.anomalies == []
        finally:
            self.engine.dispose()

    @invariant()
    def holds(self) -> None:
        """At every moment what must hold holds."""
        if hasattr(self, "engine"):
            self.engine.check()
            assert self.engine.anomalies == []

    def do(self, call: Coroutine[Any, Any, Any], seconds: float) -> None:
        """Begin something, and let time pass."""
        self.engine.begin(call)
        self.engine.elapse(seconds)

    def ask(
        self, worker: int, key: SessionKey, consistency: Consistency, limit: int | None
    ) -> None:
        """Begin a read, if the worker is there."""
        process = self.engine.processes[worker]
        if process.alive:
            self.engine.begin(
                self.client.reader.read(process, key, limit=limit, consistency=consistency)
            )

    @rule(worker=WORKERS, key=SESSIONS, sizes=SIZES, named=st.booleans(), seconds=SECONDS)
    def append(
        self, worker: int, key: SessionKey, sizes: list[int], *, named: bool, seconds: float
    ) -> None:
        """Add messages."""
        process = self.engine.processes[worker]
        self.do(self.client.append(process, key, sizes, named=named), seconds)

    @rule(worker=WORKERS, which=st.integers(0, 99), seconds=SECONDS)
    def retry(self, worker: int, which: int, seconds: float) -> None:
        """Send an earlier change again."""
        self.do(self.client.again(self.engine.processes[worker], which), seconds)

    @rule(worker=WORKERS, key=SESSIONS, late=st.booleans())
    def append_with_a_lost_reply(self, worker: int, key: SessionKey, *, late: bool) -> None:
        """Add a message; the worker is not told, or the request comes after its resend."""
        process = self.engine.processes[worker]
        self.nemesis.strike("late" if late else "no_reply", process, 0.0)
        self.do(self.client.append(process, key, [20]), 0.01)

    @rule(worker=WORKERS, key=SESSIONS, sizes=SIZES, drop=st.integers(0, 2), change=st.booleans())
    def put(
        self, worker: int, key: SessionKey, sizes: list[int], *, drop: int, change: bool
    ) -> None:
        """Put a transcript that grew, lost its head, or was edited."""
        process = self.engine.processes[worker]
        self.do(self.client.put(process, key, sizes, drop=drop, change=change), 0.01)

    @rule(worker=WORKERS, key=SESSIONS, seconds=SECONDS, then_append=st.booleans())
    def delete(self, worker: int, key: SessionKey, *, seconds: float, then_append: bool) -> None:
        """Delete a session, and perhaps make it again."""
        process = self.engine.processes[worker]
        self.do(self.client.delete(process, key), seconds)
        if then_append:
            self.do(self.client.append(process, key, [20]), seconds)

    @rule(
        worker=WORKERS, key=SESSIONS, limit=st.sampled_from([0, 2, 20, None]), newest=st.booleans()
    )
    def read(self, worker: int, key: SessionKey, *, limit: int | None, newest: bool) -> None:
        """Read."""
        self.ask(worker, key, NEWEST if newest else BOUNDED, limit)
        self.engine.elapse(0.005)

    @rule(worker=WORKERS, key=SESSIONS)
    def read_own_write(self, worker: int, key: SessionKey) -> None:
        """Read at least what was written last, on any worker."""
        if key in self.client.versions:
            self.ask(worker, key, at_least(self.client.versions[key]), 3)

    @rule(key=SESSIONS)
    def warm(self, key: SessionKey) -> None:
        """Make a session hot everywhere, if nothing is in the way."""
        for _ in range(2):
            for worker in range(len(CONFIGS)):
                self.ask(worker, key, BOUNDED, 2)
            self.engine.elapse(0.05)

    @rule(key=SESSIONS)
    def peek(self, key: SessionKey) -> None:
        """Take what every near cache answers at once."""
        for process in self.engine.processes:
            if process.alive and not process.standing_still:
                self.client.reader.peek(process, key, 2)

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.engine.elapse(seconds)

    @rule(
        worker=WORKERS,
        kind=st.sampled_from(Nemesis.kinds),
        lasts=st.sampled_from([0.05, 0.3, 0.7]),
        amount=st.integers(1, 4),
        seconds=SECONDS,
    )
    def strike(self, worker: int, kind: str, *, lasts: float, amount: int, seconds: float) -> None:
        """Let something happen: cut, evict, crash, script flush, failover that loses writes."""
        self.nemesis.strike(kind, self.engine.processes[worker], lasts, amount)
        self.engine.elapse(seconds)


def explore(examples: int) -> None:
    """Try as many random runs."""
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=examples, stateful_step_count=30)
    )


def test_every_promise_holds() -> None:
    """Whatever Hypothesis lets happen, every answer is true, and all comes right in the end."""
    explore(60)


@pytest.mark.slow
def test_every_promise_holds_for_long() -> None:
    """The same, for many more runs."""
    explore(400)
