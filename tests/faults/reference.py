"""A store one can follow by eye: it keeps every state, and writes down what its clients see."""

from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from memory_cache.testing.history import (
    Answer,
    Applied,
    Asked,
    Fault,
    Final,
    History,
    Read,
    Sighting,
    Write,
    WriteKind,
)

BOUND = 1.0


class State(NamedTuple):
    """One state of a session."""

    inc: str
    era: str
    num: int
    tag: str
    first: int
    names: tuple[str, ...]

    @property
    def version(self) -> str:
        """Return its text."""
        return f"{self.inc}.{self.era}.{self.num}.{self.tag}"


@dataclass
class Late:
    """A change that nobody waits for any more."""

    at: float
    write: Write


class Reference:
    """Sessions and the clients of some workers, in one thread."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.history = History()
        self.now = 0.0
        self.era = 1
        self.count = 0
        self.states: dict[str, list[tuple[float, State | None]]] = {}
        self.late: list[Late] = []

    def state(self, session: str) -> State | None:
        """Return what the store holds."""
        states = self.states.get(session)
        return states[-1][1] if states else None

    def names(self, count: int) -> tuple[str, ...]:
        """Return names that were never given before."""
        self.count += count
        return tuple(f"m{self.count - i}" for i in range(count))

    def tick(self, seconds: float | None = None) -> None:
        """Let time pass; late changes arrive meanwhile."""
        self.now += self.random.uniform(0.001, 0.3) if seconds is None else seconds
        due = [late for late in self.late if late.at <= self.now]
        self.late = [late for late in self.late if late.at > self.now]
        for late in due:
            self._execute(late.write)

    def write(
        self,
        kind: WriteKind,
        session: str,
        names: tuple[str, ...] = (),
        *,
        applied: Applied = Applied.YES,
        resent: bool = False,
    ) -> Write:
        """Make a change; of UNKNOWN ones some are executed at once, some later, some never."""
        self.tick()
        write = Write(
            kind,
            session,
            client=f"c{self.random.randrange(5)}",
            worker=f"w{self.random.randrange(3)}",
            sent=self.now - self.random.uniform(0, 0.4),
            done=self.now + self.random.uniform(0, 0.4),
            applied=applied,
            names=names,
            operation_id=f"op{self.random.getrandbits(64)}",
        )
        if applied is Applied.YES:
            write = self._execute(write)
        elif applied is Applied.UNKNOWN:
            write = replace(write, done=None)
            chance = self.random.random()
            if chance < 0.4:
                result = self._execute(write)
                if resent:
                    again = replace(result, sent=self.now + 0.5, done=self.now + 0.6)
                    again = replace(again, replayed=True, applied=Applied.YES)
                    self.history.writes.append(again)
            elif chance < 0.8:
                self.late.append(Late(self.now + self.random.uniform(0, 3), write))
        self.history.writes.append(write)
        return write

    def read(
        self,
        session: str,
        asked: Asked = Asked.NEWEST,
        limit: int | None = 20,
        lag: float | None = None,
    ) -> Read:
        """Read a state as old as may be."""
        self.tick()
        sent = self.now - self.random.uniform(0, 0.2)
        oldest = sent - (BOUND if asked is Asked.BOUNDED else 0.0)
        seen = self.random.uniform(oldest, self.now) if lag is None else self.now - lag
        states = self.states.get(session, [])
        state = next((state for at, state in reversed(states) if at <= seen), None)
        read = Read(
            session,
            client=f"c{self.random.randrange(5)}",
            worker=f"w{self.random.randrange(3)}",
            sent=sent,
            done=self.now,
            asked=asked,
            answer=Answer.ABSENT if state is None else Answer.PAGE,
            limit=limit,
        )
        if state is not None:
            read = self.show(read, state)
        self.history.reads.append(read)
        return read

    def show(self, read: Read, state: State) -> Read:
        """Return the read with what a state makes of it."""
        next_ = state.first + len(state.names)
        limit = len(state.names) if read.limit is None else read.limit
        start = max(state.first, next_ - limit)
        return replace(
            read,
            version=state.version,
            first=state.first,
            next=next_,
            start=start,
            sightings=tuple(
                Sighting(name, read.session) for name in state.names[start - state.first :]
            ),
        )

    def fail_over(self, changes: int) -> None:
        """Lose the last changes of every session; another primary reigns."""
        self.tick()
        for states in self.states.values():
            now = states[-1][1]
            back = [state for _, state in states if state and now and state.inc == now.inc]
            if now is not None:
                states.append((self.now, back[max(0, len(back) - 1 - changes)]))
        self.era += 1
        self.history.faults.append(Fault("failover", self.now, self.now + 0.1, may_lose=True))

    def end(self) -> History:
        """Let everything arrive, and write down what the store holds."""
        self.tick(10)
        finals = []
        for session in sorted(self.states):
            state = self.state(session)
            names = state.names if state else ()
            shown = tuple(Sighting(name, session) for name in names)
            first = state.first if state else 0
            finals.append(Final(session, state.version if state else None, first, shown))
        self.history.finals = finals
        return self.history

    def _execute(self, write: Write) -> Write:
        old = self.state(write.session)
        made = old or State(f"i{self.random.getrandbits(64):x}", "", 0, "", 0, ())
        tag = f"{self.random.getrandbits(64):x}"
        new = made._replace(era=f"e{self.era}", num=made.num + 1, tag=tag)
        start = None
        if write.kind is WriteKind.APPEND:
            start = new.first + len(new.names)
            new = new._replace(names=new.names + write.names)
        elif write.kind is WriteKind.PUT:
            first = 0 if old is None or self.random.random() < 0.5 else old.first + 3
            new = new._replace(names=write.names, first=first)
        if write.kind is WriteKind.DELETE and old is None:
            return write
        states = self.states.setdefault(write.session, [])
        if write.kind is WriteKind.DELETE:
            states.append((self.now, None))
        else:
            # The same primary may change fields, of which no history tells.
            new = new._replace(num=new.num + self.random.choice([0, 0, 0, 1]))
            states.append((self.now, new))
        return replace(write, version=new.version, start=start)
