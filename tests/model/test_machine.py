"""Random runs of three workers under faults; every answer and every ring is checked."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from model.world import SESSIONS, World, failure

WORKERS = st.integers(0, 2)
NAMES = st.sampled_from(SESSIONS)
COUNTS = st.sampled_from([0, 1, 2, 3, 20])
TURNS = st.integers(0, 12)
WRITES = st.sampled_from(["append", "append", "append", "replace", "fields", "delete", "pop"])
READS = st.sampled_from(["bounded", "bounded", "newest", "newest", "transcript"])
POINTS = st.sampled_from(
    [
        *("tail.done", "tail.done", "tail", "append.done", "append", "rewrite.done"),
        *("delete.done", "touch", "fence", "fence.done", "connect"),
    ]
)


class Machine(RuleBasedStateMachine):
    """The bus loses nothing but with its connection: every promise holds."""

    strict = True
    faults: tuple[str, ...] = ("cut", "hold", "deliver", "double", "blackhole")

    def __init__(self) -> None:
        super().__init__()
        self.world = World(strict=self.strict)

    def teardown(self) -> None:
        """Whatever happened, in the end every ring equals the log."""
        try:
            self.world.settle()
        finally:
            self.world.close()

    @rule(
        worker=WORKERS,
        name=NAMES,
        kind=WRITES,
        count=st.sampled_from([1, 1, 2, 70]),
        ttl=st.sampled_from([None, None, 1, 3]),
        turns=TURNS,
    )
    def write(  # noqa: PLR0917  # Hypothesis names them
        self, worker: int, name: str, kind: str, count: int, ttl: int | None, turns: int
    ) -> None:
        """Begin a change."""
        self.world.write(worker, name, kind, count, ttl)
        self.world.step(turns)

    @rule(worker=WORKERS, name=NAMES, kind=READS, count=COUNTS, turns=TURNS)
    def read(self, worker: int, name: str, kind: str, count: int, turns: int) -> None:
        """Begin a read."""
        self.world.read(worker, name, kind, count)
        self.world.step(turns)

    @rule(worker=WORKERS, name=NAMES, kind=READS, turns=TURNS)
    def load_during_writes(self, worker: int, name: str, kind: str, turns: int) -> None:
        """Begin a read whose snapshot is held up while somebody writes."""
        self.world.park(worker, "tail.done")
        self.world.read(worker, name, kind, 2)
        self.world.step(turns)
        self.world.write((worker + 1) % 3, name, "append", 1, None)
        self.world.step(turns)

    @rule(worker=WORKERS, name=NAMES)
    def warm(self, worker: int, name: str) -> None:
        """Make a session hot, if nothing is in the way."""
        for _ in range(2):
            self.world.read(worker, name, "bounded", 2)
            self.world.step(20)

    @precondition(lambda self: self.world.versions)
    @rule(worker=WORKERS, name=NAMES, which=st.integers(0, 99))
    def read_at_least(self, worker: int, name: str, which: int) -> None:
        """Begin a read of a version of before."""
        versions = self.world.versions
        self.world.read_at_least(worker, name, versions[which % len(versions)])
        self.world.step(3)

    @rule(worker=WORKERS, name=NAMES, count=COUNTS)
    def peek(self, worker: int, name: str, count: int) -> None:
        """Take what the near cache answers at once."""
        self.world.peek(worker, name, count)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.1, 0.34, 0.7, 1.2]))
    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.world.sleep(seconds)

    @rule(worker=WORKERS, point=POINTS, fails=st.booleans())
    def park(self, worker: int, point: str, fails: bool) -> None:
        """Stop a call to come, or let it fail before it is carried out or after."""
        if fails:
            error = failure(unknown=point.endswith(".done"))
            self.world.workers[worker].gates.fail(point, error)
        else:
            self.world.park(worker, point)

    @rule(which=st.integers(0, 9), fails=st.sampled_from([False, False, True]), turns=TURNS)
    def unpark(self, which: int, fails: bool, turns: int) -> None:
        """Let a call go on, or lose its answer."""
        self.world.unpark(which, failure(unknown=True) if fails else None)
        self.world.step(turns)

    @rule(worker=WORKERS, turns=TURNS, data=st.data())
    def disturb(self, worker: int, turns: int, data: st.DataObject) -> None:
        """Let something happen to what a worker hears."""
        self.world.disturb(worker, data.draw(st.sampled_from(self.faults)))
        self.world.step(turns)

    @rule(worker=WORKERS, turns=TURNS)
    def release(self, worker: int, turns: int) -> None:
        """Let it hear again."""
        self.world.workers[worker].bus.release()
        self.world.step(turns)

    @rule(
        what=st.sampled_from(["failover", "failover", "flush", "suspend"]),
        lose=st.integers(0, 3),
        cut=st.booleans(),
        turns=TURNS,
    )
    def disaster(self, what: str, lose: int, cut: bool, turns: int) -> None:
        """Let the server lose changes, or everything; or let time pass in which nothing runs."""
        if what == "failover":
            self.world.server.failover(lose=lose, cut=cut)
        elif what == "flush":
            self.world.server.flush()
        else:
            self.world.clock.advance(lose)
        self.world.step(turns)


class LossyMachine(Machine):
    """The bus loses and reorders as TCP never does: still nothing torn or mixed is served."""

    strict = False
    faults = (*Machine.faults, "lose", "lose", "swap", "swap")


def explore(machine: type[Machine], examples: int) -> None:
    """Try as many random runs."""
    runs = settings(max_examples=examples, stateful_step_count=40)
    run_state_machine_as_test(machine, settings=runs)


def test_every_promise_holds() -> None:
    """Nothing served is torn, mixed, older than T or than its own write; rings equal the log."""
    explore(Machine, 150)


def test_nothing_is_torn_on_a_bus_that_loses() -> None:
    """On a bus that loses and reorders nothing is torn or mixed, and the next change heals."""
    explore(LossyMachine, 100)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [Machine, LossyMachine])
def test_for_long(machine: type[Machine]) -> None:
    """The same, for many more runs."""
    explore(machine, 500)
