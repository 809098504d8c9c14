"""What every bus promises: see ``Bus`` and ``BusHandler``."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from memory_cache._config import CacheConfig
from memory_cache._delta import Delta, decode
from memory_cache._errors import StoreError, VersionMismatchError
from memory_cache._ports import FOREVER, KEEP_TICKING, Bus, Condition
from memory_cache._types import SessionKey
from memory_cache.testing._place import (
    Check,
    Place,
    again,
    fresh_key,
    messages,
    refused,
    terms,
    whole,
)

_CONFIG = CacheConfig()
_PATIENCE_SECONDS: Final = 10.0
_MINUTE_MS: Final = 60_000


class Ear:
    """A handler that remembers what it was told, in order."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.heard: list[tuple[str, object]] = []
        self._told = asyncio.Event()

    def connected(self) -> None:
        """Remember."""
        self._tell("connected", None)

    def lost(self, reason: str) -> None:
        """Remember."""
        self._tell("lost", reason)

    def opened(self, key: SessionKey) -> None:
        """Remember."""
        self._tell("opened", key)

    def message(self, key: SessionKey, payload: bytes) -> None:
        """Remember; what cannot be decoded ends the check."""
        self._tell("message", (key, decode(payload)))

    def nonce(self, nonce: str) -> None:
        """Remember."""
        self._tell("nonce", nonce)

    def deltas(self, key: SessionKey) -> list[Delta]:
        """Return the changes heard of a session."""
        found = [what for kind, what in self.heard if kind == "message"]
        return [what[1] for what in found if isinstance(what, tuple) and what[0] == key]

    def count(self, kind: str, what: object = None) -> int:
        """Return how often this was told (of ``what``, if it is given)."""
        return sum(one == kind and what in (None, about) for one, about in self.heard)

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait until something that was told makes this true."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not fact():
                self._told.clear()
                await self._told.wait()

    def _tell(self, kind: str, what: object) -> None:
        self.heard.append((kind, what))
        self._told.set()


@asynccontextmanager
async def listening(bus: Bus) -> AsyncIterator[Ear]:
    """Give an ear that is connected, until the block ends."""
    ear = Ear()
    task = asyncio.create_task(bus.run(ear))
    try:
        await ear.until(lambda: ear.count("connected") == 1)
        yield ear
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled(), "run ended by itself"


async def hear(bus: Bus, ear: Ear, key: SessionKey) -> None:
    """Subscribe, and wait for the confirmation."""
    before = ear.count("opened", key)
    bus.subscribe(key)
    await ear.until(lambda: ear.count("opened", key) > before)


async def fenced(bus: Bus, ear: Ear) -> None:
    """Wait until everything executed so far has been told."""
    nonce = secrets.token_hex(8)
    await bus.fence(nonce)
    await ear.until(lambda: ear.count("nonce", nonce) == 1)


async def appends_are_heard_whole(place: Place) -> None:
    """An append is told with all it added, and with the version before and after it."""
    async with place.open(_CONFIG) as ports, listening(ports.bus) as ear:
        key, store, first, second = fresh_key(), ports.store, terms(), terms(ttl_ms=_MINUTE_MS)
        await hear(ports.bus, ear, key)
        one = await store.append(key, messages(0, 100), None, first)
        two = await store.append(key, messages(100, 102, own_view=False), b'{"a":1}', second)
        await fenced(ports.bus, ear)
        made, added = ear.deltas(key)
        assert (made.kind, made.previous_tag, made.header) == ("A", "-", one.header)
        assert (made.messages, made.fields) == (tuple(messages(0, 100)), None)
        assert made.left_ms == FOREVER
        assert (added.kind, added.previous_tag, added.header) == ("A", first.tag, two.header)
        assert added.messages == tuple(messages(100, 102, own_view=False))
        assert added.fields == b'{"a":1}'
        assert _nearly(_MINUTE_MS, added.left_ms)


async def other_changes_are_announced(place: Place) -> None:
    """Edits and deletes, and appends over ``delta_bytes``, are told without their content."""
    async with place.open(CacheConfig(delta_bytes=300)) as ports, listening(ports.bus) as ear:
        key, store = fresh_key(), ports.store
        await hear(ports.bus, ear, key)
        await store.append(key, messages(0, 1), None, terms())
        await store.append(key, messages(1, 100), b'{"a":1}', terms())
        await store.rewrite(key, whole(messages(0, 2)), b'{"b":1}', terms())
        await store.append(key, (), b"{}" + b" " * 300, terms())
        await store.append(key, messages(2, 3), b'{"c":1}', terms())
        await store.delete(key, terms())
        await fenced(ports.bus, ear)
        deltas = ear.deltas(key)
        assert [delta.kind for delta in deltas] == ["A", "C", "C", "C", "A", "D"]
        assert [delta.carries for delta in deltas] == [True, False, False, False, True, False]
        tags = ["-", *(delta.header.tag for delta in deltas)]
        assert [delta.previous_tag for delta in deltas] == tags[:-1]
        assert [delta.header.num for delta in deltas] == [1, 2, 3, 4, 5, 6]


async def what_changes_nothing_is_not_heard(place: Place) -> None:
    """A replay and a refusal are not told."""
    async with place.open(_CONFIG) as ports, listening(ports.bus) as ear:
        key, store, attempt = fresh_key(), ports.store, terms()
        await hear(ports.bus, ear, key)
        await store.append(key, messages(0, 1), None, terms(create=False))
        await store.append(key, messages(0, 1), None, attempt)
        await store.append(key, messages(0, 1), None, again(attempt))
        absent = terms(condition=Condition(None))
        await refused(store.append(key, messages(0, 1), None, absent), VersionMismatchError)
        await fenced(ports.bus, ear)
        assert len(ear.deltas(key)) == 1


async def delete_of_nothing_is_heard(place: Place) -> None:
    """A delete is told even if there was nothing, once: an eviction is not, and may have been."""
    async with place.open(_CONFIG) as ports, listening(ports.bus) as ear:
        key, store, attempt = fresh_key(), ports.store, terms()
        await hear(ports.bus, ear, key)
        await store.delete(key, attempt)
        await store.append(key, messages(0, 1), None, terms())
        await store.delete(key, again(attempt))
        await fenced(ports.bus, ear)
        gone, made = ear.deltas(key)
        assert (gone.kind, gone.previous_tag, gone.carries) == ("D", "-", False)
        assert made.header.inc != gone.header.inc


async def deadline_is_heard(place: Place) -> None:
    """Each change tells how long its session has left to live."""
    async with place.open(_CONFIG) as ports, listening(ports.bus) as ear:
        key, store = fresh_key(), ports.store
        await hear(ports.bus, ear, key)
        for ttl_ms in (_MINUTE_MS, None, KEEP_TICKING, None, 0):
            await store.append(key, (), None, terms(ttl_ms=ttl_ms))
        await store.rewrite(key, whole(messages(0, 1)), None, terms(ttl_ms=_MINUTE_MS // 2))
        await fenced(ports.bus, ear)
        *appends, edit = ear.deltas(key)
        left = [delta.left_ms for delta in appends]
        assert all(_nearly(_MINUTE_MS, ms) for ms in left[:4])
        assert left[4] == FOREVER
        assert _nearly(_MINUTE_MS // 2, edit.left_ms)


async def open_is_the_last_confirmation(place: Place) -> None:
    """However often a channel is subscribed and closed at once, it opens once, for the last."""
    async with place.open(_CONFIG) as ports, listening(ports.bus) as ear:
        key, bus = fresh_key(), ports.bus
        bus.subscribe(key)
        bus.subscribe(key)
        bus.unsubscribe(key)
        bus.subscribe(key)
        await ear.until(lambda: ear.count("opened", key) > 0)
        await fenced(bus, ear)
        assert ear.count("opened", key) == 1
        await ports.store.append(key, messages(0, 1), None, terms())
        await fenced(bus, ear)
        assert len(ear.deltas(key)) == 1


async def closed_channels_are_silent(place: Place) -> None:
    """Nothing is told of a session that was not subscribed, or is no more."""
    async with place.open(_CONFIG) as ports, listening(ports.bus) as ear:
        key, other, bus = fresh_key(), fresh_key(), ports.bus
        await hear(bus, ear, key)
        bus.unsubscribe(key)
        bus.unsubscribe(other)
        for one in (key, other):
            await ports.store.append(one, messages(0, 1), None, terms())
        await fenced(bus, ear)
        assert ear.deltas(key) == ear.deltas(other) == []
        bus.subscribe(key)
        bus.unsubscribe(key)
        await fenced(bus, ear)
        assert ear.count("opened", key) == 1


async def workers_hear_each_other(place: Place) -> None:
    """A change by one worker is told to all that subscribed, a fence only to its own."""
    async with (
        place.open(_CONFIG) as ports,
        place.open(_CONFIG) as others,
        listening(ports.bus) as ear,
        listening(others.bus) as other,
    ):
        key = fresh_key()
        await hear(ports.bus, ear, key)
        await hear(others.bus, other, key)
        await others.store.append(key, messages(0, 1), None, terms())
        for bus, one in ((ports.bus, ear), (others.bus, other)):
            await fenced(bus, one)
            assert len(one.deltas(key)) == 1
        assert (ear.count("nonce"), other.count("nonce")) == (1, 1)


async def fence_comes_after_changes(place: Place) -> None:
    """A nonce comes out after every change that was acknowledged before it was sent."""
    async with place.open(_CONFIG) as ports, listening(ports.bus) as ear:
        key = fresh_key()
        await hear(ports.bus, ear, key)
        for number in range(20):
            await ports.store.append(key, messages(number, number + 1), None, terms())
            await fenced(ports.bus, ear)
            assert len(ear.deltas(key)) == number + 1
            assert ear.heard[-1][0] == "nonce"


async def generations_begin_empty(place: Place) -> None:
    """A drop is told as lost; the next generation is told, has nothing subscribed, and works."""
    async with place.open(_CONFIG) as ports, listening(ports.bus) as ear:
        key, bus = fresh_key(), ports.bus
        await hear(bus, ear, key)
        bus.drop("for a check")
        await ear.until(lambda: ear.heard[-1] == ("connected", None))
        kinds = [kind for kind, _ in ear.heard]
        assert kinds == ["connected", "opened", "lost", "connected"]
        assert ear.count("lost", "for a check") == 1
        await ports.store.append(key, messages(0, 1), None, terms())
        await fenced(bus, ear)
        assert ear.deltas(key) == []
        await hear(bus, ear, key)
        await ports.store.append(key, messages(1, 2), None, terms())
        await fenced(bus, ear)
        assert len(ear.deltas(key)) == 1


async def flush_is_noticed(place: Place) -> None:
    """The first fence after the store lost everything ends its generation, in a new one too."""
    async with place.open(_CONFIG) as ports, listening(ports.bus) as ear:
        bus = ports.bus
        await fenced(bus, ear)
        await place.flush()
        await refused(bus.fence("00"), StoreError)
        await ear.until(lambda: ear.heard[-1] == ("connected", None))
        await fenced(bus, ear)
        bus.drop("for a check")
        await ear.until(lambda: ear.heard[-1] == ("connected", None))
        await place.flush()
        await refused(bus.fence("01"), StoreError)


async def nothing_works_unconnected(place: Place) -> None:
    """Without a generation a fence fails, and the other calls do nothing."""
    async with place.open(_CONFIG) as ports:
        key, bus = fresh_key(), ports.bus
        bus.subscribe(key)
        bus.unsubscribe(key)
        bus.drop("for a check")
        await refused(bus.fence("00"), StoreError)
        async with listening(bus) as ear:
            await fenced(bus, ear)
            assert ear.count("opened") == 0
        await refused(bus.fence("00"), StoreError)


def _nearly(ms: int, left_ms: int) -> bool:
    """Whether as much is left of a time to live that has just begun."""
    return ms - 1000 < left_ms <= ms


BUS_CHECKS: tuple[Check, ...] = (
    appends_are_heard_whole,
    other_changes_are_announced,
    what_changes_nothing_is_not_heard,
    delete_of_nothing_is_heard,
    deadline_is_heard,
    open_is_the_last_confirmation,
    closed_channels_are_silent,
    workers_hear_each_other,
    fence_comes_after_changes,
    generations_begin_empty,
    flush_is_noticed,
    nothing_works_unconnected,
)
