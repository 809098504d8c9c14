"""Random runs of three workers under faults; every answer and every ring is checked."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from model.world import SESSIONS, World, failure

WORKERS = st.integers(0, 2)
NAMES = st.sampled_from(SESSIONS)
COUNTS = st.sampled_from([0, 1, 2, 3, 20])
TURNS = st.integers(0, 12)
CALLS = ("append", "rewrite", "delete", "tail", "touch", "fence")
POINTS = st.sampled_from([*CALLS, *(f"{call}.done" for call in CALLS), "connect"])


class Machine(RuleBasedStateMachine):
    """The bus loses nothing but with its connection: every promise holds."""

    strict = True

    def __init__(self) -> None:
        super().__init__()
        self.world = World(strict=self.strict)

    def teardown(self) -> None:
        """Whatever happened, in the end every ring equals the log."""
        try:
            self.world.settle()
        finally:
            self.world.close()

    # What workers do

    @rule(
        worker=WORKERS,
        name=NAMES,
        kind=st.sampled_from(["append", "append", "append", "replace", "fields", "delete", "pop"]),
        count=st.sampled_from([1, 1, 2, 70]),
        ttl=st.sampled_from([None, None, 1, 3]),
        turns=TURNS,
    )
    def write(self, worker: int, name: str, kind: str, count: int, ttl: int, turns: int) -> None:
        """Begin a change."""
        self.world.write(worker, name, kind, count, ttl)
        self.world.step(turns)

    @rule(
        worker=WORKERS,
        name=NAMES,
        kind=st.sampled_from(["bounded", "bounded", "bounded", "newest", "transcript"]),
        count=COUNTS,
        turns=TURNS,
    )
    def read(self, worker: int, name: str, kind: str, count: int, turns: int) -> None:
        """Begin a read."""
        self.world.read(worker, name, kind, count)
        self.world.step(turns)

    @rule(worker=WORKERS, name=NAMES, turns=TURNS)
    def warm(self, worker: int, name: str, turns: int) -> None:
        """Make a session hot, if nothing is in the way."""
        for _ in range(2):
            self.world.read(worker, name, "bounded", 2)
            self.world.step(20)
        self.world.step(turns)

    @precondition(lambda self: self.world.versions)
    @rule(worker=WORKERS, name=NAMES, data=st.data())
    def read_at_least(self, worker: int, name: str, data: st.DataObject) -> None:
        """Begin a read of a version of before."""
        which = data.draw(st.integers(0, len(self.world.versions) - 1))
        self.world.read_at_least(worker, name, self.world.versions[which])
        self.world.step(3)

    @rule(worker=WORKERS, name=NAMES, count=COUNTS)
    def peek(self, worker: int, name: str, count: int) -> None:
        """Take what the near cache answers at once."""
        self.world.peek(worker, name, count)

    @rule(turns=TURNS)
    def step(self, turns: int) -> None:
        """Let things happen."""
        self.world.step(turns)

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.34, 0.7, 1.2]))
    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.world.sleep(seconds)

    @rule(seconds=st.sampled_from([0.5, 2.0]))
    def suspend(self, seconds: float) -> None:
        """Let time pass in which nothing runs."""
        self.world.clock.advance(seconds)

    # What happens to them

    @rule(worker=WORKERS, point=POINTS)
    def park(self, worker: int, point: str) -> None:
        """Stop a call to come."""
        self.world.park(worker, point)

    @rule(which=st.integers(0, 9), fails=st.sampled_from([False, False, True]), turns=TURNS)
    def unpark(self, which: int, fails: bool, turns: int) -> None:
        """Let a call go on, or lose its answer."""
        self.world.unpark(which, failure(unknown=True) if fails else None)
        self.world.step(turns)

    @rule(worker=WORKERS, point=POINTS)
    def fail(self, worker: int, point: str) -> None:
        """Let a call to come fail, before it is carried out or after."""
        error = failure(unknown=point.endswith(".done"))
        self.world.workers[worker].gates.fail(point, error)

    @rule(worker=WORKERS)
    def hold(self, worker: int) -> None:
        """Delay what a worker hears."""
        self.world.workers[worker].bus.hold()

    @rule(worker=WORKERS, turns=TURNS)
    def release(self, worker: int, turns: int) -> None:
        """Let it hear."""
        self.world.workers[worker].bus.release()
        self.world.step(turns)

    @rule(worker=WORKERS, count=st.integers(1, 3))
    def deliver(self, worker: int, count: int) -> None:
        """Let it hear a little."""
        for _ in range(count):
            self.world.workers[worker].bus.deliver()

    @rule(worker=WORKERS, turns=TURNS)
    def cut(self, worker: int, turns: int) -> None:
        """Close its subscription."""
        self.world.workers[worker].bus.cut()
        self.world.step(turns)

    @rule(worker=WORKERS)
    def blackhole(self, worker: int) -> None:
        """Let its subscription go silent."""
        self.world.workers[worker].bus.blackhole()

    @rule(worker=WORKERS)
    def double(self, worker: int) -> None:
        """Let it hear the next change twice."""
        self.world.workers[worker].bus.double_next()

    @rule(lose=st.integers(0, 3), cut=st.booleans(), turns=TURNS)
    def failover(self, lose: int, cut: bool, turns: int) -> None:
        """Let another node take over, with or without the last changes."""
        self.world.server.failover(lose=lose, cut=cut)
        self.world.step(turns)

    @rule(turns=TURNS)
    def flush(self, turns: int) -> None:
        """Let the server lose everything."""
        self.world.server.flush()
        self.world.step(turns)


class LossyMachine(Machine):
    """The bus loses and reorders as TCP never does: still nothing torn or mixed is served."""

    strict = False

    @rule(worker=WORKERS, count=st.integers(1, 2))
    def lose(self, worker: int, count: int) -> None:
        """Lose the next changes on their way to a worker."""
        self.world.workers[worker].bus.lose_next(count)

    @rule(worker=WORKERS)
    def swap(self, worker: int) -> None:
        """Let a worker hear the next change after the one that follows it."""
        self.world.workers[worker].bus.swap_next()


RUNS = settings(max_examples=60, stateful_step_count=40)


def test_every_promise_holds() -> None:
    """Nothing served is torn, mixed, older than T or than its own write; rings equal the log."""
    run_state_machine_as_test(Machine, settings=RUNS)  # type: ignore[no-untyped-call]


def test_nothing_is_torn_on_a_bus_that_loses() -> None:
    """On a bus that loses and reorders nothing is torn or mixed, and the next change heals."""
    run_state_machine_as_test(LossyMachine, settings=RUNS)  # type: ignore[no-untyped-call]
