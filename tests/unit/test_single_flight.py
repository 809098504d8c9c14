import asyncio

import pytest

from memory_cache._single_flight import SingleFlight


class Flights:
    """Calls under our control: each waits until it is told to land."""

    def __init__(self, max_age_seconds: float = 1.0) -> None:
        self.now = 0.0
        self.shared = SingleFlight[str](lambda: self.now, max_age_seconds)
        self.calls: list[asyncio.Future[str]] = []

    async def call(self) -> str:
        """Begin a call, and wait for its landing."""
        landing: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.calls.append(landing)
        return await landing

    async def ask(self, thing: str = "thing", part: str = "part") -> asyncio.Task[tuple[str, bool]]:
        """Ask, and come back when the call is under way or joined."""
        task = asyncio.create_task(self.shared.do(thing, part, self.call))
        await self.some_turns()
        return task

    async def ask_next(self) -> asyncio.Task[tuple[str, bool]]:
        """Ask for a call that begins after this."""
        task = asyncio.create_task(self.shared.next("thing", "part", self.call))
        await self.some_turns()
        return task

    async def some_turns(self) -> None:
        """Let what is ready go on."""
        for _ in range(5):
            await asyncio.sleep(0)


async def test_callers_at_the_same_time_share() -> None:
    """Two who want the same at the same time cause one call, and the second is told."""
    flights = Flights()
    first, second = await flights.ask(), await flights.ask()
    [landing] = flights.calls
    landing.set_result("x")
    assert (await first, await second) == (("x", False), ("x", True))
    third = await flights.ask()
    assert len(flights.calls) == 2
    flights.calls[1].set_result("y")
    assert await third == ("y", False)


async def test_other_parts_and_things_do_not_share() -> None:
    """Another thing, or another part of it, is another call."""
    flights = Flights()
    tasks = [await flights.ask(*names) for names in (("a", "1"), ("a", "2"), ("b", "1"))]
    for at, landing in enumerate(flights.calls):
        landing.set_result(str(at))
    assert [await task for task in tasks] == [("0", False), ("1", False), ("2", False)]


async def test_old_calls_are_not_joined() -> None:
    """Who comes later than the age limit begins a call of its own, which others then join."""
    flights = Flights()
    first = await flights.ask()
    flights.now = 1.0
    second = await flights.ask()
    assert len(flights.calls) == 1
    flights.now = 1.1
    third, fourth = await flights.ask(), await flights.ask()
    old, new = flights.calls
    old.set_result("old")
    new.set_result("new")
    results = [await task for task in (first, second, third, fourth)]
    assert results == [("old", False), ("old", True), ("new", False), ("new", True)]


async def test_next_begins_after_all_who_share_it() -> None:
    """Nobody who asks for the next call gets one that had begun; those who wait for it share it."""
    flights = Flights()
    first = await flights.ask_next()
    second, third = await flights.ask_next(), await flights.ask_next()
    assert len(flights.calls) == 1, "one at a time"
    flights.calls[0].set_result("old")
    assert await first == ("old", False)
    fourth = await flights.ask_next()
    flights.calls[1].set_result("new")
    assert (await second, await third) == (("new", False), ("new", True))
    assert len(flights.calls) == 3, "the fourth came when that had begun"
    flights.calls[2].set_result("newest")
    assert await fourth == ("newest", False)


async def test_next_in_one_turn() -> None:
    """All who ask in one turn of the loop share one call, for none has begun before its end."""
    flights = Flights()
    tasks = [asyncio.create_task(flights.shared.next("a", "1", flights.call)) for _ in range(5)]
    await flights.some_turns()
    [landing] = flights.calls
    landing.set_result("x")
    assert [await task for task in tasks] == [("x", False)] + [("x", True)] * 4


async def test_next_does_not_wait_for_a_call_that_hangs() -> None:
    """A call that takes longer than it may be shared holds up nobody for longer than that."""
    flights = Flights(max_age_seconds=0.01)
    first, second = await flights.ask_next(), await flights.ask_next()
    async with asyncio.timeout(5):
        while len(flights.calls) < 2:  # noqa: ASYNC110  a call under our control makes no event
            await asyncio.sleep(0.001)
    flights.calls[1].set_result("new")
    assert await second == ("new", False)
    flights.calls[0].set_exception(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await first


async def test_next_after_one_that_failed() -> None:
    """The error of one call is not that of the next."""
    flights = Flights()
    first, second = await flights.ask_next(), await flights.ask_next()
    flights.calls[0].set_exception(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await first
    await flights.some_turns()
    flights.calls[1].set_result("x")
    assert await second == ("x", False)


async def test_forget_ends_sharing() -> None:
    """After a change nobody joins a call that began before it; its landing ends only itself."""
    flights = Flights()
    first = await flights.ask()
    flights.shared.forget("thing")
    second = await flights.ask()
    old, new = flights.calls
    old.set_result("old")
    assert await first == ("old", False)
    third = await flights.ask()
    new.set_result("new")
    assert await second == ("new", False)
    assert await third == ("new", True)


async def test_errors_are_shared_and_not_kept() -> None:
    """All who wait get the error of the call; who comes afterwards tries again."""
    flights = Flights()
    first, second = await flights.ask(), await flights.ask()
    flights.calls[0].set_exception(OSError("gone"))
    for task in (first, second):
        with pytest.raises(OSError, match="gone"):
            await task
    third = await flights.ask()
    flights.calls[1].set_result("x")
    assert await third == ("x", False)


async def test_cancelled_caller_leaves_the_call_to_others() -> None:
    """One who is cancelled takes nothing from the other, nor does it end the call."""
    flights = Flights()
    first, second = await flights.ask(), await flights.ask()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    flights.calls[0].set_result("x")
    assert await second == ("x", True)


async def test_call_that_nobody_awaits_ends_quietly() -> None:
    """A call whose callers are all gone ends by itself; its error is no accident to report."""
    flights = Flights()
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    task = await flights.ask()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    flights.calls[0].set_exception(OSError("gone"))
    for _ in range(3):
        await asyncio.sleep(0)
    again = await flights.ask()
    flights.calls[1].set_result("x")
    assert await again == ("x", False)
    assert reports == []
