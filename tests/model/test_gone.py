import asyncio

from memory_cache import StoreError
from model.rig import Rig, contents, message, run, turns, two, warm
from model.world import failure


def test_append_that_was_lost_with_its_session() -> None:
    """Executed, lost with its session and its answer, an append is made again, never denied."""

    async def main(rig: Rig) -> None:
        worker, chat, _ = await two(rig)
        await chat.append(message(1))
        await turns()  # it is known to be there
        answer = worker.gates.close("append.done")
        append = asyncio.create_task(chat.append(message(2)))
        await answer.arrived
        lost = rig.server.record(chat.key)
        assert lost is not None
        rig.server.failover(lose=3)
        worker.gates.fail("touch", failure(unknown=False))
        answer.open(StoreError("no answer", applied="unknown"))
        made = (await append).version
        assert made is not None
        assert made.tag != lost.header.tag
        assert contents(await chat.transcript()) == ["message 2"]

    run(main)


def test_delete_that_finds_nothing() -> None:
    """Who deletes what was evicted does not go on answering with it until the bus tells."""

    async def main(rig: Rig) -> None:
        worker = await rig.worker()
        await worker.cache.session("s").append(message(0))
        chat = await warm(worker, "s")
        rig.server.evict(chat.key)
        worker.bus.hold()
        assert chat.peek(1) is not None
        assert not (await chat.delete()).existed
        assert chat.peek(1) is None

    run(main)
