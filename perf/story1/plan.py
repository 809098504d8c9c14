"""How much of Story 1 is played: the sizes, stages and rounds, in full and quick."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How much is played.

    ``processes`` are Locust's (more than one cost a run three seconds), ``workers`` each server's;
    stages are ``users:seconds,…``.

    ``renew``: turns after which a user of ``crowd`` who sends everything begins another session, so
    that those of few users, who take many turns each, are no longer than those of many.

    ``pace``: seconds from turn to turn of each user of ``paced``. ``stored_users`` take turns in
    one session each, and then in ``sessions`` in all.
    """

    sizes: list[int]
    append_sizes: list[int]
    turns: int
    rounds: int
    processes: int
    workers: int
    messages: int
    ramp: str
    crowd: str
    crowd_messages: int
    renew: int
    readers: str
    sessions: int
    pace: float
    paced: str
    stored_users: str

    @property
    def steps(self) -> int:
        """How many runs of Locust that is."""
        return self.rounds * 11 + 12


FULL = Plan(
    sizes=[10, 30, 100, 300, 1_000, 3_000, 10_000],
    append_sizes=[10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000],
    turns=30,
    rounds=3,
    processes=2,
    workers=2,
    messages=2_000,
    ramp="1:3,5:3,25:8",
    crowd="1:3,25:6,1000:30",
    crowd_messages=200,
    renew=50,
    readers="25:6",
    sessions=1_000,
    pace=1.0,
    paced="5:4,25:6,100:10",
    stored_users="25:14",
)
QUICK = Plan(
    sizes=[10, 100, 1_000],
    append_sizes=[10, 100, 1_000],
    turns=4,
    rounds=1,
    processes=1,
    workers=1,
    messages=200,
    ramp="4:1",
    crowd="1:1,10:1",
    crowd_messages=20,
    renew=5,
    readers="3:1",
    sessions=20,
    pace=0.2,
    paced="5:1",
    stored_users="4:1",
)
