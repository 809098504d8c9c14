"""Faults of the links between a worker and the store."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

from memory_cache.testing.faults.crew import Member
from memory_cache.testing.faults.ground import Ground, Kind, repeating
from memory_cache.testing.faults.proxy import Class, Direction, Trap, Weather

MESSAGE = b'{"role":'
"""What goes up with every append and PUT, and with nothing else."""

_ALL = ((Class.DATA, Class.BUS), (Class.DATA,), (Class.BUS,))


@contextlib.contextmanager
def _weather(
    member: Member, classes: Sequence[Class], ways: Sequence[Direction], weather: Weather
) -> Iterator[None]:
    proxy = member.proxy
    for kind in classes:
        for way in ways:
            proxy.weather[kind, way] = replace(weather)
    try:
        yield
    finally:
        for kind in classes:
            for way in ways:
                proxy.weather[kind, way] = Weather()
        proxy.changed()


@contextlib.asynccontextmanager
async def _slow(ground: Ground, member: Member) -> AsyncIterator[None]:
    delay = ground.random.uniform(0.005, 0.1)
    with _weather(member, _ALL[0], [*Direction], Weather(delay=delay, jitter=delay)):
        yield


@contextlib.asynccontextmanager
async def _late_bus(ground: Ground, member: Member) -> AsyncIterator[None]:
    delay = ground.random.uniform(0.1, 1.5)
    with _weather(member, (Class.BUS,), (Direction.DOWN,), Weather(delay=delay)):
        yield


@contextlib.asynccontextmanager
async def _thin(ground: Ground, member: Member) -> AsyncIterator[None]:
    rate = ground.random.uniform(20_000, 200_000)
    with _weather(member, _ALL[0], [*Direction], Weather(rate=rate)):
        yield


@contextlib.asynccontextmanager
async def _silent_bus(ground: Ground, member: Member) -> AsyncIterator[None]:
    del ground
    with _weather(member, (Class.BUS,), [*Direction], Weather(holds=True)):
        yield


@contextlib.asynccontextmanager
async def _silent_data(ground: Ground, member: Member) -> AsyncIterator[None]:
    del ground
    with _weather(member, (Class.DATA,), [*Direction], Weather(holds=True)):
        yield


@contextlib.asynccontextmanager
async def _silent_up(ground: Ground, member: Member) -> AsyncIterator[None]:
    classes = ground.random.choice(_ALL)
    with _weather(member, classes, (Direction.UP,), Weather(holds=True)):
        yield


@contextlib.asynccontextmanager
async def _silent_down(ground: Ground, member: Member) -> AsyncIterator[None]:
    classes = ground.random.choice(_ALL)
    with _weather(member, classes, (Direction.DOWN,), Weather(holds=True)):
        yield


@contextlib.asynccontextmanager
async def _half_open(ground: Ground, member: Member) -> AsyncIterator[None]:
    classes = ground.random.choice(_ALL)
    try:
        with _weather(member, classes, [*Direction], Weather(swallows=True)):
            yield
    finally:
        for link in member.proxy.of(*classes):
            if link.is_torn:
                link.reset()


@contextlib.asynccontextmanager
async def _dead_links(ground: Ground, member: Member) -> AsyncIterator[None]:
    classes = ground.random.choice(_ALL)
    for link in member.proxy.of(*classes):
        link.is_torn = True
    yield


@contextlib.asynccontextmanager
async def _reset(ground: Ground, member: Member) -> AsyncIterator[None]:
    classes = ground.random.choice(_ALL)

    async def act() -> None:
        for link in member.proxy.of(*classes):
            link.reset()
            ground.counts["links reset"] += 1

    async with repeating(ground.random.uniform(0.02, 0.5), act):
        yield


@contextlib.asynccontextmanager
async def _close(ground: Ground, member: Member) -> AsyncIterator[None]:
    classes = ground.random.choice(_ALL)

    async def act() -> None:
        for link in member.proxy.of(*classes):
            link.end()
            ground.counts["links closed"] += 1

    async with repeating(ground.random.uniform(0.02, 0.5), act):
        yield


@contextlib.asynccontextmanager
async def _cut_reply(ground: Ground, member: Member) -> AsyncIterator[None]:
    def sprung() -> None:
        ground.counts["replies cut off after their change was forwarded"] += 1

    async def act() -> None:
        member.proxy.trap = Trap(MESSAGE, sprung)

    try:
        async with repeating(0.1, act):
            yield
    finally:
        member.proxy.trap = None


LINKS = (
    Kind("slow-link", (23,), "only slower", _slow),
    Kind(
        "late-bus",
        (20, 23),
        "no read older than T, be the bus later than that",
        _late_bus,
        outlasts=True,
    ),
    Kind("thin-link", (23,), "only slower", _thin),
    Kind("silent-bus", (20,), "the lease ends; reads go to the store", _silent_bus, outlasts=True),
    Kind(
        "silent-data",
        (21,),
        "the lease ends; then errors, none of them late",
        _silent_data,
        outlasts=True,
    ),
    Kind(
        "silent-up",
        (20, 21),
        "no answer within the deadline is an error",
        _silent_up,
        outlasts=True,
    ),
    Kind(
        "silent-down",
        (20, 21),
        "as silent-up; what was carried out is not doubled",
        _silent_down,
        outlasts=True,
    ),
    Kind(
        "half-open",
        (22,),
        "never hangs; the heal resets the links",
        _half_open,
        seconds=(0.5, 5),
        outlasts=True,
    ),
    Kind(
        "dead-links", (22,), "noticed by time alone; nobody resets them", _dead_links, recovery=5.0
    ),
    Kind("reset-links", (2, 3), "connects again; a change is made once", _reset),
    Kind("close-links", (2, 3), "connects again; a change is made once", _close),
    Kind("cut-reply", (2, 3), "sent again under its operation id; one effect", _cut_reply),
)
