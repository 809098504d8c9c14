"""When a ring may answer: leases, generations, gaps, and what sends no message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from memory_cache import NEWEST, Session, StoreError, Tier
from model.rig import (
    CONFIG,
    T_SECONDS,
    Rig,
    Worker,
    check_quiet,
    check_worker,
    contents,
    message,
    parked,
    run,
    turns,
    two,
    warm,
)

AFTER_LEASE = T_SECONDS + 0.01


def test_lease_lapses_without_fences() -> None:
    """A ring that hears nothing answers for T at most, and then nobody is given old data."""

    async def main(rig: Rig) -> None:
        worker, _, other = await two(rig)
        chat = await warm(worker)
        worker.bus.blackhole()
        await other.append(message(1))
        assert contents(chat.peek(20)) == ["message 0"]
        rig.clock.advance(AFTER_LEASE)
        assert chat.peek(20) is None
        assert contents(await chat.recent(20)) == ["message 0", "message 1"]

    run(main)


def test_lease_is_counted_from_sending() -> None:
    """A fence that takes long gives a lease that is as much shorter."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig)
        slow = worker.gates.close("fence.done")
        await slow.arrived
        await asyncio.sleep(0.6)
        slow.open()
        next_ = worker.gates.close("fence.done")
        await turns()
        assert worker.cache.statistics().lease_seconds == pytest.approx(T_SECONDS - 0.6)
        next_.open()

    run(main)


def test_slow_fences_follow_one_another() -> None:
    """Fences that each take longer than they are apart keep the lease all the same."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig)
        chat = await warm(worker)
        for _ in range(6):
            async with worker.gates.gate("fence.done") as arrived:
                await arrived
                for _ in range(4):
                    await asyncio.sleep(0.1)
                    assert chat.peek(1) is not None
        assert worker.cache.statistics().lapses == 0

    run(main)


@asynccontextmanager
async def half_a_fence(worker: Worker, missing: str) -> AsyncIterator[None]:
    """Fences of which one half does not come in."""
    if missing == "reply":
        async with worker.gates.gate("fence.done"):
            yield
    else:
        worker.bus.hold()
        yield
        worker.bus.release()


@pytest.mark.parametrize("missing", ["reply", "nonce"])
def test_lease_needs_nonce_and_reply(missing: str) -> None:
    """A fence of which only the nonce, or only the reply, comes in renews nothing."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig)
        chat = await warm(worker)
        async with half_a_fence(worker, missing):
            await asyncio.sleep(T_SECONDS - 0.02)
            assert chat.peek(1) is not None
            await asyncio.sleep(0.03)
            assert chat.peek(1) is None

    run(main)


def test_failed_fence_ends_the_generation() -> None:
    """A fence that the store refuses ends the generation, and the next one works."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig)
        chat = await warm(worker)
        generations = worker.cache.statistics().generations
        worker.gates.fail("fence", StoreError("refused"))
        await asyncio.sleep(0.4)
        assert worker.cache.statistics().generations == generations + 1
        assert chat.peek(1) is None
        await asyncio.sleep(0.4)
        await warm(worker)

    run(main)


def test_new_generation_waits_for_its_own_fence() -> None:
    """After a reconnect nothing is answered on the lease of before."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig)
        chat = await warm(worker)
        rig.server.cut()
        await turns()
        async with worker.gates.gate("fence"):
            for _ in range(2):
                await chat.recent(20)
                await turns()
            assert chat.peek(1) is None

    run(main)


def test_newest_needs_a_fence_of_its_own() -> None:
    """A read of the newest sends a fence after it came, and then the ring answers it."""

    async def main(rig: Rig) -> None:
        worker, _, other = await two(rig)
        chat = await warm(worker)
        worker.bus.hold()
        await other.append(message(1))
        assert contents(chat.peek(20)) == ["message 0"]
        reading = asyncio.create_task(chat.recent(20, consistency=NEWEST))
        await turns()
        assert not reading.done()
        worker.bus.release()
        page = await reading
        assert page.tier is Tier.NEAR
        assert contents(page) == ["message 0", "message 1"]

    run(main)


def forged(rig: Rig, chat: Session, previous_tag: str, ahead: int) -> bytes:
    """A change that the session's server never made."""
    record = rig.server.record(chat.key)
    assert record is not None
    header = record.header._replace(num=record.header.num + ahead, tag="f" * 16)
    return f"A {previous_tag} -1 0 0\n{header.line()}".encode()


@pytest.mark.parametrize("case", ["fork", "gap", "older", "undecodable"])
def test_what_does_not_continue_makes_suspect(case: str) -> None:
    """A change that is not the next of what is held is not applied, and the ring asks anew."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig)
        chat = await warm(worker)
        record = rig.server.record(chat.key)
        assert record is not None
        payload = {
            "fork": forged(rig, chat, "0" * 16, 1),
            "gap": forged(rig, chat, record.header.tag, 2),
            "older": forged(rig, chat, record.header.tag, 0),
            "undecodable": b"another release",
        }[case]
        worker.bus.inject(chat.key, payload)
        await turns()
        assert chat.peek(20) is None
        check_worker(worker, rig.server)
        assert contents(await chat.recent(20)) == ["message 0"]

    run(main)


def test_lost_change_is_noticed_by_the_next() -> None:
    """A change lost on the way makes suspect as soon as the next one is heard."""

    async def main(rig: Rig) -> None:
        worker, _, other = await two(rig)
        chat = await warm(worker)
        worker.bus.lose_next()
        await other.append(message(1))
        await other.append(message(2))
        await turns()
        assert chat.peek(20) is None
        assert contents(await chat.recent(20)) == ["message 0", "message 1", "message 2"]

    run(main)


SWEPT = replace(CONFIG, sweep_seconds=5.0)


@pytest.mark.parametrize("how", ["evicted", "change lost"])
def test_sweep_finds_what_sent_no_message(how: str) -> None:
    """A session that was evicted, or whose change was lost, is suspect after a sweep."""

    async def main(rig: Rig) -> None:
        worker, _, other = await two(rig, SWEPT)
        chat = await warm(worker)
        if how == "evicted":
            rig.server.evict(chat.key)
        else:
            worker.bus.lose_next()
            await other.append(message(1))
        await asyncio.sleep(1.3 * SWEPT.sweep_seconds)
        assert chat.peek(20) is None

    run(main)


def test_sweep_trusts_what_is_on_its_way() -> None:
    """A sweep that finds a change before its delta is heard leaves the ring alone."""

    async def main(rig: Rig) -> None:
        worker, _, other = await two(rig, SWEPT)
        chat = await warm(worker)
        async with worker.gates.gate("tail.done") as arrived:
            async with worker.gates.gate("tail") as sweeping:
                await sweeping
                worker.bus.hold()
                await other.append(message(1))
            await arrived
        await turns()
        worker.bus.release()
        await turns()
        assert contents(chat.peek(20)) == ["message 0", "message 1"]

    run(main)


@pytest.mark.parametrize("reconnects", [False, True])
def test_flush_is_noticed_by_a_fence(reconnects: bool) -> None:
    """After a flush no ring answers for longer than T, though nobody was told."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig)
        chat = await warm(worker)
        if reconnects:
            rig.server.cut()
            await turns()
            for _ in range(2):
                await chat.recent(20)
                await turns()
        rig.server.flush()
        await asyncio.sleep(AFTER_LEASE)
        assert chat.peek(20) is None
        assert not (await chat.recent(20)).exists

    run(main)


def test_load_of_before_the_opening_does_not_stand_in_for_a_later_one() -> None:
    """While a load is under way, one asked for before the channel was open fills no ring."""

    async def main(rig: Rig) -> None:
        worker, chat, other = await two(rig)
        worker.bus.hold()
        first, reading_first = await parked(worker, chat, 1)
        await other.append(message(1))
        worker.bus.release()
        await turns()
        second, reading_second = await parked(worker, chat, 2)
        first.open()
        await reading_first
        assert chat.peek(1) is None
        second.open()
        assert contents(await reading_second) == ["message 0", "message 1"]
        check_quiet(worker, rig.server)

    run(main)


def test_channel_of_a_session_that_came_back_stays_open() -> None:
    """A session that was evicted and read again goes on hearing its changes."""

    async def main(rig: Rig) -> None:
        config = replace(CONFIG, near_cache_bytes=11_000)
        worker, chat, other = await two(rig, config)
        await warm(worker)
        for name in ("a", "b", "c", "d"):
            await other_session(worker, name)
        assert not worker.near.holds(chat.key)
        await warm(worker)
        await asyncio.sleep(2.0)
        await other.append(message(1))
        await turns()
        assert contents(chat.peek(20)) == ["message 0", "message 1"]

    run(main)


async def other_session(worker: Worker, name: str) -> None:
    """Make another session hot."""
    await worker.cache.session(name).append(message(0))
    await warm(worker, name)
