"""What is written in one turn of the event loop is bounded, and everybody's turn comes."""

import asyncio
from collections import Counter

from memory_cache_server.turns import Turns

MOST = 100


class Writers:
    """Writers that take their turns, and in which turn of the loop each was let through."""

    def __init__(self) -> None:
        self.turns = Turns(MOST)
        self.order: list[int] = []
        self.bytes_in: Counter[int] = Counter()
        self._turn = 0

    async def write(self, name: int, size: int, more: int = 0) -> None:
        """Write so much when it is one's turn, and then more."""
        await self.turns.take(size)
        self.turns.spend(more)
        self.order.append(name)
        self.bytes_in[self._turn] += size + more

    async def finish(self, *tasks: asyncio.Task[None]) -> None:
        """Count turns until all have written."""
        async with asyncio.timeout(5):
            while not all(task.done() for task in tasks):
                self._turn += 1
                await asyncio.sleep(0)


async def test_so_much_in_one_turn() -> None:
    """In no turn is more written than the bound and one writer's part, and all in their order."""
    writers = Writers()
    tasks = [asyncio.create_task(writers.write(name, 40)) for name in range(50)]
    await writers.finish(*tasks)
    assert writers.order == list(range(50))
    assert max(writers.bytes_in.values()) < MOST + 40
    assert len(writers.bytes_in) >= 50 * 40 // MOST


async def test_what_was_more_is_waited_for() -> None:
    """Who writes more than was said is paid for by those to come, who still have their turns."""
    writers = Writers()
    tasks = [asyncio.create_task(writers.write(name, 10, more=10 * MOST)) for name in range(30)]
    await writers.finish(*tasks)
    assert writers.order == list(range(30))
    first, last = min(writers.bytes_in), max(writers.bytes_in)
    assert sum(writers.bytes_in.values()) / (last - first) < 3 * MOST


async def test_nobody_waits_where_there_is_room() -> None:
    """A writer alone is let through at once, again and again."""
    turns = Turns(MOST)
    for _ in range(3):
        write = turns.take(MOST)
        try:
            write.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("it waits")
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_one_who_went_takes_nobodys_turn() -> None:
    """A writer that is cancelled while it waits is passed over."""
    writers = Writers()
    tasks = [asyncio.create_task(writers.write(name, MOST)) for name in range(6)]
    await asyncio.sleep(0)
    for gone in (1, 2, 4):
        tasks[gone].cancel()
    await writers.finish(*tasks)
    assert writers.order == [0, 3, 5]
