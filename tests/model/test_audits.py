"""Audits of real caches, on a server in memory: what they find, and what they never take for it."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from memory_cache import CacheConfig, Session, StoreError
from model.rig import CONFIG, Rig, Worker, contents, message, run, turns, two, warm

PERIOD = 5.0
SWEPT = replace(CONFIG, sweep_seconds=PERIOD)
ONE_SWEEP = 1.3 * PERIOD
"""Longer than a period and its jitter, shorter than two."""


def test_lost_change_is_counted_and_healed() -> None:
    """A session whose delta was lost is found behind, once, and the next read shows the change."""

    async def main(rig: Rig) -> None:
        worker, _, other = await two(rig, SWEPT)
        chat = await warm(worker)
        worker.bus.lose_next()
        await other.append(message(1))
        await turns()
        assert contents(chat.peek(20)) == ["message 0"]
        await asyncio.sleep(ONE_SWEEP)
        found = worker.cache.statistics()
        assert (found.audits, found.violations, found.suspects) == (1, {"behind": 1}, {"audit": 1})
        assert contents(await chat.recent(20)) == ["message 0", "message 1"]
        assert contents(chat.peek(20)) == ["message 0", "message 1"]
        await asyncio.sleep(2 * ONE_SWEEP)
        found = worker.cache.statistics()
        assert found.audits > 1
        assert found.violations == {"behind": 1}

    run(main)


Meanwhile = Callable[[Rig, Worker, Session], Coroutine[Any, Any, None]]


async def _delete(_rig: Rig, worker: Worker, other: Session) -> None:
    await worker.cache.session(other.key.session_id).delete()


async def _made_again(_rig: Rig, worker: Worker, other: Session) -> None:
    await other.delete()
    await other.append(message(7))
    await warm(worker)


async def _reconnect(rig: Rig, worker: Worker, other: Session) -> None:
    rig.server.failover(lose=1)
    for _ in range(4):
        await turns()
        await worker.cache.session(other.key.session_id).recent(20)
    assert worker.near.live(other.key)


async def _let_go(_rig: Rig, worker: Worker, other: Session) -> None:
    for name in "abcd":
        await worker.cache.session(name).append(message(0))
        await warm(worker, name)
    assert not worker.near.holds(other.key)
    await other.append(message(1))
    await warm(worker)


async def _expire(rig: Rig, _worker: Worker, other: Session) -> None:
    await other.set_fields({}, ttl_seconds=1)
    await turns()
    rig.clock.advance(1.5)


async def _append(_rig: Rig, worker: Worker, other: Session) -> None:
    await asyncio.gather(
        other.append(message(1)), worker.cache.session(other.key.session_id).append(message(2))
    )


async def _edit(_rig: Rig, worker: Worker, other: Session) -> None:
    await other.replace([message(1)])
    await warm(worker)


async def _lapse(rig: Rig, worker: Worker, _other: Session) -> None:
    rig.clock.advance(10.0)
    worker.gates.fail("fence", StoreError("no answer"))


@pytest.mark.parametrize("when", ["tail", "tail.done", "fence", "fence.done"])
@pytest.mark.parametrize(
    "meanwhile",
    [_append, _edit, _delete, _made_again, _reconnect, _let_go, _expire, _lapse],
    ids=lambda one: one.__name__.strip("_"),
)
def test_what_happens_meanwhile_is_no_violation(when: str, meanwhile: Meanwhile) -> None:
    """Whatever happens to a session while it is audited is not counted against it."""
    config = replace(SWEPT, near_cache_bytes=4 * 2600, staleness_seconds=60.0)

    async def main(rig: Rig) -> None:
        worker, _, other = await two(rig, config)
        chat = await warm(worker)
        await other.append(message(5))
        # No fence of the heartbeat comes by that gate: there is none for 20 s.
        point, after = (when, None) if when.startswith("tail") else ("tail.done", when)
        gate = worker.gates.close(point)
        await gate.arrived
        if after is not None:
            first, gate = gate, worker.gates.close(after)
            first.open()
            await gate.arrived
        doing = asyncio.create_task(meanwhile(rig, worker, other))
        await turns(200)
        gate.open()
        await doing
        await turns(200)
        found = worker.cache.statistics()
        assert found.violations == {}
        assert "audit" not in found.suspects
        page = await chat.recent(20)
        record = rig.server.record(chat.key)
        assert page.header == (record and record.header)

    run(main)


def test_change_on_its_way_is_waited_for() -> None:
    """A store found ahead is no violation while the delta is on its way: the fence is behind it."""

    async def main(rig: Rig) -> None:
        worker, _, other = await two(rig, replace(SWEPT, staleness_seconds=60.0))
        chat = await warm(worker)
        gate = worker.gates.close("tail")
        await gate.arrived
        worker.bus.hold()
        await other.append(message(1))
        gate.open()
        await turns()
        assert contents(chat.peek(20)) == ["message 0"]
        assert worker.cache.statistics().audits == 0
        worker.bus.release()
        await turns()
        assert contents(chat.peek(20)) == ["message 0", "message 1"]
        found = worker.cache.statistics()
        assert (found.audits, found.violations) == (1, {})

    run(main)


def test_no_false_alarm_in_random_runs() -> None:
    """However reads, changes, evictions, reconnects and failovers fall, all audits are content."""
    assert sum(run(partial(_random_run, seed=seed)) for seed in range(40)) > 1000


async def _change(
    _rig: Rig, draw: random.Random, _worker: Worker, chat: Session, number: int
) -> None:
    changes: list[Callable[[], Awaitable[object]]] = [
        partial(chat.append, message(number)),
        partial(chat.append, message(number), ttl_seconds=1),
        partial(chat.replace, [message(number)]),
        chat.pop,
        chat.delete,
    ]
    with contextlib.suppress(StoreError):
        await draw.choice(changes)()


async def _read(
    _rig: Rig, _draw: random.Random, _worker: Worker, chat: Session, _number: int
) -> None:
    with contextlib.suppress(StoreError):
        await chat.recent(3)


async def _disturb(
    rig: Rig, draw: random.Random, worker: Worker, _chat: Session, _number: int
) -> None:
    if draw.random() < 0.2:
        rig.server.failover(lose=draw.randrange(3), cut=draw.random() < 0.5)
    elif draw.random() < 0.3:
        worker.bus.cut()
    else:
        worker.bus.hold()
        await asyncio.sleep(draw.random() / 100)
        worker.bus.release()


async def _random_run(rig: Rig, seed: int) -> int:
    draw = random.Random(seed)
    config = CacheConfig(
        near_cache_bytes=draw.choice([6000, 1 << 20]),
        delta_bytes=draw.choice([150, 1 << 16]),
        sweep_seconds=0.002,
        sweep_sessions=draw.choice([1, 2, 10]),
    )
    workers = [await rig.worker(config) for _ in range(3)]

    async def live(worker: Worker) -> None:
        for number in range(40):
            await asyncio.sleep(draw.random() / 200)
            chat = worker.cache.session(draw.choice("abc"))
            await draw.choice([_change, _read, _read, _disturb])(rig, draw, worker, chat, number)

    await asyncio.gather(*(live(worker) for worker in workers))
    found = [worker.cache.statistics() for worker in workers]
    assert [one.violations for one in found] == [{}, {}, {}]
    return sum(one.audits for one in found)


def test_so_many_in_turn() -> None:
    """Each sweep audits no more sessions than it may, and after some all have been."""

    async def main(rig: Rig) -> None:
        worker = await rig.worker(replace(SWEPT, sweep_sessions=2))
        for name in "abcde":
            await worker.cache.session(name).append(message(0))
            rig.server.evict((await warm(worker, name)).key)
        found = [0]
        for _ in range(4):
            gate = worker.gates.close("list")
            await gate.arrived
            gate.open()
            await turns()
            found.append(worker.cache.statistics().violations.get("gone", 0))
        assert found == [0, 2, 4, 5, 5]

    run(main)


def test_none_when_off() -> None:
    """With a rate of none no session is audited."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig, replace(SWEPT, sweep_sessions=0))
        chat = await warm(worker)
        rig.server.evict(chat.key)
        await asyncio.sleep(3 * ONE_SWEEP)
        assert worker.cache.statistics().audits == 0
        assert contents(chat.peek(20)) == ["message 0"]

    run(main)


def test_store_that_does_not_answer_is_no_verdict() -> None:
    """A session about which the store does not answer is neither audited nor suspect."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig, SWEPT)
        chat = await warm(worker)
        worker.gates.fail("tail", StoreError("no answer"))
        await asyncio.sleep(ONE_SWEEP)
        assert worker.cache.statistics().audits == 0
        assert contents(chat.peek(20)) == ["message 0"]

    run(main)


# How long, and how often


def test_times_of_fences() -> None:
    """A fence's times are two: until its nonce was out, and until its answer was in, too."""

    async def main(rig: Rig) -> None:
        worker = await rig.worker(replace(CONFIG, staleness_seconds=60.0))
        now = worker.cache.statistics()
        assert (now.fence_p50_seconds, now.propagation_p99_seconds) == (0.0, 0.0)
        gate = worker.gates.close("fence.done")
        await gate.arrived
        await asyncio.sleep(0.25)
        gate.open()
        await turns()
        now = worker.cache.statistics()
        assert (now.fence_p50_seconds, now.fence_p99_seconds) == (0.0, 0.25)
        assert now.propagation_p99_seconds == 0.0
        worker.bus.hold()
        gate = worker.gates.close("fence.done")
        await gate.arrived
        gate.open()
        await asyncio.sleep(0.5)
        worker.bus.release()
        await turns()
        now = worker.cache.statistics()
        assert (now.fence_p99_seconds, now.propagation_p99_seconds) == (0.5, 0.5)
        assert (now.fence_p50_seconds, now.propagation_p50_seconds) == (0.25, 0.0)

    run(main)


def test_lapses_are_counted() -> None:
    """A look at a session that only the lease kept from answering is counted, and no other."""

    async def main(rig: Rig) -> None:
        worker, chat, _ = await two(rig)
        assert chat.peek(1) is None
        await warm(worker)
        assert worker.cache.statistics().lapses == 0
        rig.clock.advance(2 * CONFIG.staleness_seconds)
        assert chat.peek(1) is None
        assert worker.cache.statistics().lapses == 1
        await chat.recent(1)
        assert chat.peek(1) is not None

    run(main)
