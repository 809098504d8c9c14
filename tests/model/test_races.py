import asyncio
from dataclasses import replace

import pytest

from memory_cache import StoreError, Tier
from model.rig import (
    CONFIG,
    Rig,
    S,
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


def test_hit_after_two_reads() -> None:
    """The first read opens the channel, the second fills the ring, the third hits it."""

    async def main(rig: Rig) -> None:
        _, chat, _ = await two(rig)
        assert (await chat.recent(1)).tier is Tier.STORE
        await turns()
        assert (await chat.recent(1)).tier is Tier.STORE
        assert (await chat.recent(1)).tier is Tier.NEAR

    run(main)


def test_delta_during_load_is_replayed() -> None:
    """A change heard while a snapshot is under way is in the ring once the snapshot is."""

    async def main(rig: Rig) -> None:
        worker, chat, other = await two(rig)
        await chat.recent(1)
        await turns()
        gate, reading = await parked(worker, chat, 1)
        await other.append(message(1))
        await turns()
        gate.open()
        await reading
        assert contents(chat.peek(20)) == ["message 0", "message 1"]

    run(main)


def test_load_before_opening_holds_only_suspects() -> None:
    """A snapshot asked for before the channel was open does not let the ring answer."""

    async def main(rig: Rig) -> None:
        worker, chat, other = await two(rig)
        worker.bus.hold()
        gate, reading = await parked(worker, chat, 20)
        await other.append(message(1))
        worker.bus.release()
        await turns()
        gate.open()
        assert contents(await reading) == ["message 0"]
        assert chat.peek(20) is None
        assert contents(await chat.recent(20)) == ["message 0", "message 1"]

    run(main)


def test_load_before_opening_spares_what_a_later_one_keeps() -> None:
    """A snapshot asked for before the channel was open takes no delta from a later load."""

    async def main(rig: Rig) -> None:
        worker, chat, other = await two(rig)
        first, reading_first = await parked(worker, chat, 1)
        await turns()
        second, reading_second = await parked(worker, chat, 2)
        await other.append(message(1))
        await turns()
        first.open()
        await reading_first
        second.open()
        await reading_second
        await turns()
        check_quiet(worker, rig.server)
        assert contents(await chat.recent(20)) == ["message 0", "message 1"]

    run(main)


def test_load_of_an_older_generation_spares_what_a_later_one_keeps() -> None:
    """A snapshot asked for before a reconnect takes no delta from a load after it."""

    async def main(rig: Rig) -> None:
        worker, chat, other = await two(rig)
        await warm(worker)
        rig.server.cut()
        await turns()
        first, reading_first = await parked(worker, chat, 1)
        rig.server.cut()
        await turns()
        second, reading_second = await parked(worker, chat, 2)
        await turns()
        third, reading_third = await parked(worker, chat, 3)
        await other.append(message(1))
        await turns()
        for gate, reading in [
            (first, reading_first),
            (second, reading_second),
            (third, reading_third),
        ]:
            gate.open()
            await reading
        await turns()
        check_quiet(worker, rig.server)
        assert contents(await chat.recent(20)) == ["message 0", "message 1"]

    run(main)


def test_load_of_an_older_generation_does_not_answer() -> None:
    """A snapshot asked for before a reconnect is held, and answers no later read."""

    async def main(rig: Rig) -> None:
        worker, chat, other = await two(rig)
        await chat.recent(1)
        await turns()
        gate, reading = await parked(worker, chat, 20)
        rig.server.cut()
        await turns()
        await other.append(message(1))
        gate.open()
        assert contents(await reading) == ["message 0"]
        await turns()
        assert chat.peek(20) is None
        assert contents(await chat.recent(20)) == ["message 0", "message 1"]

    run(main)


def test_own_write_during_a_load_is_read() -> None:
    """A write acknowledged while a snapshot from before it is under way is in the next read."""

    async def main(rig: Rig) -> None:
        worker, chat, _ = await two(rig)
        await chat.recent(1)
        await turns()
        gate, reading = await parked(worker, chat, 20)
        await chat.append(message(1))
        gate.open()
        await reading
        assert contents(await chat.recent(20)) == ["message 0", "message 1"]

    run(main)


def test_own_write_is_acknowledged_once_its_delta_has_passed() -> None:
    """A write to a hot session is not acknowledged before its own delta is applied."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig)
        chat = await warm(worker)
        worker.bus.hold()
        writing = asyncio.create_task(chat.append(message(1)))
        await turns()
        assert not writing.done()
        worker.bus.release()
        await writing
        assert contents(chat.peek(20)) == ["message 0", "message 1"]

    run(main)


def test_own_write_whose_delta_is_late_makes_suspect() -> None:
    """A write whose delta does not come is acknowledged, and the ring answers no more."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig)
        chat = await warm(worker)
        worker.bus.hold()
        before = rig.clock.now()
        await chat.append(message(1))
        assert rig.clock.now() - before <= CONFIG.staleness_seconds / 2
        assert chat.peek(20) is None
        assert contents(await chat.recent(20)) == ["message 0", "message 1"]

    run(main)


def test_read_after_own_write_joins_no_older_call() -> None:
    """A read begun after our write does not share a call that was begun before it."""

    async def main(rig: Rig) -> None:
        worker, chat, _ = await two(rig)
        worker.bus.hold()
        gate, reading = await parked(worker, chat, 20)
        await chat.append(message(1))
        assert contents(await chat.recent(20)) == ["message 0", "message 1"]
        gate.open()
        assert contents(await reading) == ["message 0"]

    run(main)


def test_reads_at_once_share_a_call() -> None:
    """Reads of the same messages at the same time ask the store once."""

    async def main(rig: Rig) -> None:
        worker, chat, _ = await two(rig)
        gate, reading = await parked(worker, chat, 20)
        joined = asyncio.create_task(chat.recent(20))
        await turns()
        gate.open()
        assert await joined == await reading
        assert worker.cache.statistics().joined == 1

    run(main)


def test_cancelled_read_leaves_the_call_to_others() -> None:
    """A reader that is cancelled does not take the answer from those who share its call."""

    async def main(rig: Rig) -> None:
        worker, chat, _ = await two(rig)
        gate, reading = await parked(worker, chat, 20)
        joined = asyncio.create_task(chat.recent(20))
        await turns()
        reading.cancel()
        await turns()
        gate.open()
        assert contents(await joined) == ["message 0"]
        check_worker(worker, rig.server)

    run(main)


SMALL = replace(CONFIG, near_cache_bytes=6000)


async def fill(worker: Worker, *names: str) -> None:
    """Make other sessions hot, so that older ones have to make room."""
    for name in names:
        chat = worker.cache.session(name)
        await chat.append(message(0))
        await chat.recent(20)
        await turns()
        await chat.recent(20)


@pytest.mark.parametrize("error", [None, StoreError("gone")], ids=["lands", "fails"])
def test_eviction_during_a_load(error: StoreError | None) -> None:
    """A session evicted while its snapshot is under way leaves nothing behind that matters."""

    async def main(rig: Rig) -> None:
        worker, chat, _ = await two(rig, SMALL)
        await warm(worker)
        rig.server.cut()
        await turns()
        await chat.recent(20)
        await turns()
        gate, reading = await parked(worker, chat, 20)
        await fill(worker, "a", "b", "c")
        gate.open(error)
        await asyncio.wait([reading])
        assert reading.exception() is error
        check_worker(worker, rig.server)
        await fill(worker, "d", "e", "f", S)
        await turns()
        check_quiet(worker, rig.server)

    run(main)


def test_suspect_that_is_weighed_makes_room_for_itself() -> None:
    """A snapshot that lands on a suspect in a full near cache evicts somebody, and is answered."""

    async def main(rig: Rig) -> None:
        worker, chat, other = await two(rig, SMALL)
        await warm(worker)
        await fill(worker, "a")
        await other.append({"role": "user", "content": "x" * 600}, ttl_seconds=60)
        await turns()
        await other.replace([{"role": "user", "content": "y" * 700}])
        await turns()
        gate, reading = await parked(worker, chat, 20)
        await other.replace([{"role": "user", "content": "z" * 700}])
        await turns()
        gate.open()
        await reading
        worker.near.check()
        check_quiet(worker, rig.server)

    run(main)


def test_snapshot_that_is_late_does_not_mix_fields() -> None:
    """A snapshot older than what is held brings its own fields, not those of the newer version."""

    async def main(rig: Rig) -> None:
        worker, _, other = await two(rig)
        await other.set_fields({"context": "old"})
        chat = await warm(worker)
        rig.server.cut()
        await turns()
        await other.append(message(1))
        gate, reading = await parked(worker, chat, 19)
        await other.set_fields({"context": "new"})
        await turns()
        await chat.recent(20)
        rig.server.cut()
        await turns()
        gate.open()
        assert (await reading).fields == {"context": "old"}
        check_worker(worker, rig.server)

    run(main)


def test_deadline_of_a_hot_session() -> None:
    """A ring answers until its session expires, and not after that."""

    async def main(rig: Rig) -> None:
        worker, _, other = await two(rig)
        chat = await warm(worker)
        await other.append(message(1), ttl_seconds=2)
        await turns()
        assert chat.peek(1) is not None
        await asyncio.sleep(1.5)
        assert chat.peek(1) is not None
        await asyncio.sleep(0.51)
        assert chat.peek(1) is None
        assert not (await chat.recent(1)).exists

    run(main)


def test_deadline_is_never_late() -> None:
    """A ring's deadline is not after the store's, though that counts whole milliseconds."""

    async def main(rig: Rig) -> None:
        rig.clock.advance(0.0007)
        worker, _, other = await two(rig)
        await other.append(message(1), ttl_seconds=3)
        await worker.cache.session(S).recent(1)
        await turns()
        rig.clock.advance(0.0002)
        await worker.cache.session(S).recent(1)
        [entry], record = worker.entries(), rig.server.record(worker.cache.session(S).key)
        assert record is not None
        assert rig.clock.wall() + (entry.deadline - rig.clock.now()) * 1e6 <= record.deadline * 1000

    run(main)


def test_deadline_of_a_delta_that_was_kept() -> None:
    """A change heard during a long load does not make the session live longer."""

    async def main(rig: Rig) -> None:
        worker, chat, other = await two(rig)
        await chat.recent(1)
        await turns()
        gate, reading = await parked(worker, chat, 20)
        await other.append(message(1), ttl_seconds=5)
        await asyncio.sleep(1.9)
        gate.open()
        await reading
        assert chat.peek(1) is not None
        await asyncio.sleep(3.2)
        assert rig.server.record(chat.key) is None
        assert chat.peek(1) is None

    run(main)


def test_fence_of_an_older_generation_ends_no_later_one() -> None:
    """A fence that fails after a reconnect leaves the new generation alone."""

    async def main(rig: Rig) -> None:
        worker, _, _ = await two(rig)
        async with worker.gates.gate("fence.done") as arrived:
            await arrived
            rig.server.cut()
            await turns()
            generations = worker.cache.statistics().generations
        await turns()
        assert worker.cache.statistics().generations == generations

    run(main)
