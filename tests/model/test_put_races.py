import asyncio

from memory_cache import ContractMessage
from model.rig import Rig, contents, run, two


def test_put_on_a_version_that_a_failover_brings_back() -> None:
    """A PUT that finds no session, and then the version it names, replaces that."""

    async def main(rig: Rig) -> None:
        worker, chat, other = await two(rig)
        before = (await chat.transcript()).version
        await other.delete()
        async with worker.gates.gate("tail.done") as arrived:
            put = asyncio.create_task(
                chat.put([ContractMessage("user", "new")], {}, if_version=before)
            )
            await arrived
            rig.server.failover(lose=1)
        await put
        assert contents(await chat.transcript()) == ["new"]

    run(main)
