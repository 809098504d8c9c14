"""
Story 1 for Locust; ``python -m perf story1`` runs it against both designs.

By hand:

    memory-cache serve --workers 2
    locust -f perf/story1/locustfile.py Append --host http://127.0.0.1:8000 --headless \
        --processes 2 --messages 2000 --stages 1:10,25:30

Requests are named by the size of their session, so Locust's own report shows latency against size.
Every answer is compared byte for byte with what it must hold; one that is wrong makes Locust exit
with 1. Nothing here may import asyncio: Locust runs on gevent.
"""

import json
import os
import random
import time
from collections import deque
from collections.abc import Callable
from itertools import accumulate, count
from pathlib import Path
from typing import Any, ClassVar

from locust import LoadTestShape, User, constant_pacing, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from perf.story1.talk import LAST, Talk, bucket
from perf.story1.wire import Connection

WARM_TURNS = 3
WARM, FILL = "(warming)", "(filling)"
FILL_SLICE = 200
_UNMEASURED = (WARM, FILL)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: LocustArgumentParser, **_: Any) -> None:  # noqa: ANN401  # Locust's
    """What this story can be told to do."""
    group = parser.add_argument_group("story 1")
    group.add_argument("--messages", type=int, default=0, help="in each session, at first")
    group.add_argument("--sizes", default="", help="one session, at these sizes in turn; then end")
    group.add_argument("--turns", type=int, default=10, help="at each size")
    group.add_argument(
        "--renew", type=int, default=0, help="begin another session after this many turns; 0: never"
    )
    group.add_argument("--stages", default="1:3600", help="users:seconds,…")
    group.add_argument("--pace", type=float, default=0.0, help="seconds from turn to turn; 0: none")
    group.add_argument("--sessions", type=int, default=100, help="that readers read")
    group.add_argument("--each", type=int, default=1, help="sessions of a user who takes turns")
    group.add_argument("--prefix", default="chat", help="first part of session names")
    group.add_argument("--samples", default="", help="folder for the time of every request")


class Story(LoadTestShape):
    """So many users for so many seconds, then more."""

    def __init__(self, *words: Any, **more: Any) -> None:  # noqa: ANN401  # Locust's
        """Begin before the first stage."""
        super().__init__(*words, **more)  # type: ignore[no-untyped-call]
        self.begun: list[tuple[float, int]] = []

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there are to be now."""
        assert self.runner is not None, "Locust sets it"
        options = self.runner.environment.parsed_options
        assert options is not None, "it was started by its command"
        stages = [tuple(map(float, stage.split(":"))) for stage in options.stages.split(",")]
        now, number = time.time(), len(self.begun)
        # By when the stage began, not the run: on a busy machine no stage is left out.
        if not number or now - self.begun[-1][0] >= stages[number - 1][1]:
            if number == len(stages):
                return None
            self.begun.append((now, int(stages[number][0])))
        users = self.begun[-1][1]
        return users, float(users)


_samples: list[tuple[float, str, int, float, float]] = []
"""When it ended, what it was, how long the session was, milliseconds; our processor time then."""


@events.request.add_listener  # type: ignore[untyped-decorator]
def note(  # noqa: D103
    request_type: str,
    name: str,
    response_time: float,
    context: dict[str, Any],
    exception: BaseException | None,
    **_: Any,  # noqa: ANN401  # Locust's
) -> None:
    if exception is None and not name.endswith(_UNMEASURED):
        cpu = time.process_time()
        _samples.append((time.time(), request_type, context["size"], response_time, cpu))


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def write_samples(environment: Environment, **_: Any) -> None:  # noqa: ANN401  # Locust's
    """Leave what this process has seen in the folder, and when the stages began."""
    folder = environment.parsed_options.samples if environment.parsed_options else ""
    if not folder:
        return
    shape = environment.shape_class
    found = {"samples": _samples, "stages": shape.begun if isinstance(shape, Story) else []}
    Path(folder, f"samples-{os.getpid()}.json").write_text(json.dumps(found))


class WrongAnswerError(Exception):
    """The answer is not what it must be."""


class Asking(User):
    """A user with a session, which asks and checks the answers."""

    abstract = True
    talk: Talk

    def __init__(self, environment: Environment) -> None:
        """Know the server; connect at the first request."""
        super().__init__(environment)
        assert self.host is not None, "it is told by --host"
        self.connection = Connection(self.host)

    def wait_time(self) -> float:
        """Wait until the next task is due, if turns are paced."""
        pace = self.environment.parsed_options.pace
        return float(constant_pacing(pace)(self)) if pace else 0.0

    def read(self, name: str = "") -> None:
        """Get the last twenty."""
        path = f"{self.talk.path}?{self.talk.scope}&recent_messages_limit={LAST}"
        self.send("GET", path, f"last {LAST}", self.talk.last_is_right, name)

    def send(  # noqa: PLR0917  # one line per call is read more easily
        self,
        method: str,
        path: str,
        kind: str,
        right: Callable[[bytearray, int, int], bool],
        name: str = "",
        data: bytes | bytearray = b"",
    ) -> None:
        """Send a request, check its answer, and count it under its kind and the session's size."""
        size = self.talk.size
        failed: Exception | None = None
        length, began = 0, time.perf_counter()
        try:
            status, answer, begin, end = self.connection.ask(method, path, data)
        except (OSError, ValueError) as error:
            took, failed = time.perf_counter() - began, error
        else:
            took, length = time.perf_counter() - began, end - begin
            if status != 200 or not right(answer, begin, end):
                failed = WrongAnswerError(f"wrong answer ({status})")
        self.environment.events.request.fire(
            request_type=method,
            name=f"{kind} {name or f'≤ {bucket(size)}'}",
            response_time=took * 1e3,
            response_length=length,
            context={"size": size},
            exception=failed,
        )


def anything(_: bytearray, begin: int, end: int) -> bool:
    """Whether there is an answer at all: what a no-op is asked for."""
    return end > begin


class Turns(Asking):
    """A user with sessions of its own, who takes a turn: changes one, and reads its last 20."""

    abstract = True
    whole = True
    taken = 0

    def on_start(self) -> None:
        """Make the sessions."""
        options = self.environment.parsed_options
        number = getattr(self.environment.runner, "worker_index", 0)
        number += Turns.taken * max(options.processes or 1, 1)
        Turns.taken += 1
        self.names = (f"{options.prefix}-{number}-{one}" for one in count())
        self.random = random.Random(number)
        # Some are some turns old: whoever looks, and whatever the pace, sizes are spread alike.
        self.talks = deque(
            self.begin(self.random.randrange(max(options.renew, 1))) for _ in range(options.each)
        )
        self.talk = self.talks[0]
        # Locust starts many users at one moment; their turns are not due at one moment.
        time.sleep(self.random.uniform(0, options.pace))

    def begin(self, taken: int = 0) -> Talk:
        """Return another session, filled as after some turns."""
        options = self.environment.parsed_options
        self.talk = Talk(next(self.names), kept=self.whole or not options.messages)
        if not options.sizes:
            self.fill(options.messages + taken)
        return self.talk

    @task
    def turn(self) -> None:
        """One turn; or all that there are at the sizes asked for."""
        options = self.environment.parsed_options
        if not options.sizes:
            self.talks.rotate()
            self.talk = self.talks[0]
            if options.renew and self.talk.size >= options.messages + options.renew:
                self.talks[0] = self.begin()
            self.change()
            self.read()
            return
        for size in map(int, options.sizes.split(",")):
            self.fill(size - WARM_TURNS)
            for _ in range(WARM_TURNS):
                self.change(WARM)
                self.read(WARM)
            for _ in range(options.turns):
                self.change()
                self.read()
        assert self.environment.runner is not None, "Locust sets it"
        self.environment.runner.quit()

    def fill(self, size: int) -> None:
        """Grow the session, unmeasured."""
        if self.whole and size > self.talk.size:
            self.talk.grow(size)
            self.put(FILL)
        # In slices: of a hundred users who begin at once, each would send a megabyte to append.
        while size > self.talk.size:
            self.post(self.talk.grow(min(size, self.talk.size + FILL_SLICE)), FILL)

    def change(self, name: str = "") -> None:
        """Add one message."""
        new = self.talk.grow(self.talk.size + 1)
        if self.whole:
            self.put(name)
        else:
            self.post(new, name)

    def put(self, name: str = "") -> None:
        """Send everything, get everything."""
        self.send("PUT", self.talk.path, "whole", self.talk.whole_is_right, name, self.talk.whole)

    def post(self, new: bytes, name: str = "") -> None:
        """Send what is new."""
        path = f"{self.talk.path}/messages?{self.talk.scope}"
        body = b'{"messages":[' + new + b"]}"
        self.send("POST", path, "append", self.talk.appended_is_right, name, body)


class WholeTranscript(Turns):
    """PUT of everything, with the echo, then GET of the last 20: what today's clients do."""


class Append(Turns):
    """POST of what is new, then GET of the last 20."""

    whole = False


class NoOp(Append):
    """The same of a server that always sends the same bytes: what clients and machine allow."""

    def read(self, name: str = "") -> None:
        """Read what comes."""
        self.send("GET", self.talk.path, f"last {LAST}", anything, name)

    def post(self, new: bytes, name: str = "") -> None:
        """Send what is new, take what comes."""
        self.send("POST", self.talk.path, "append", anything, name, b'{"messages":[' + new + b"]}")


class Echo(Turns):
    """PUT of everything to a server that only sends it back: what the network and we cost."""

    def read(self, name: str = "") -> None:
        """Read nothing."""


class Reader(Asking):
    """GETs of the last 20, of many sessions that nobody changes, in a Zipf order."""

    talks: ClassVar[list[Talk]] = []

    def on_start(self) -> None:
        """Know what the sessions hold; whoever started us has made them."""
        options = self.environment.parsed_options
        if not Reader.talks:
            names = (f"{options.prefix}-{number}" for number in range(options.sessions))
            Reader.talks = [Talk.ending_at(options.messages, name) for name in names]
        self.sums = list(accumulate(1 / (rank + 1) for rank in range(options.sessions)))
        self.random = random.Random(getattr(self.environment.runner, "worker_index", 0))

    @task
    def turn(self) -> None:
        """Read one session."""
        self.talk = self.random.choices(self.talks, cum_weights=self.sums)[0]
        self.read()
