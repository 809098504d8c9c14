"""An event loop without I/O, whose time is a clock of ours and whose order a seed."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any, Final

from memory_cache.testing._clock import ManualClock

_MOST_TURNS: Final = 200_000
"""Turns of the loop in one run; more is a loop that never ends."""


class StuckError(Exception):
    """Everybody waits for each other, or somebody never stops."""


class SeededLoop(asyncio.BaseEventLoop):
    """
    Runs what is ready in an order drawn from ``random``; where nothing is, time jumps.

    asyncio promises less about the order of unrelated tasks than its queue happens to give.
    ``held_back`` may take a callback by its context instead of its being run now, as a process
    that is stopped does; whoever takes it gives it back to ``resume``.
    """

    def __init__(
        self,
        clock: ManualClock,
        random: Random,
        held_back: Callable[[Context, asyncio.Handle], bool],
    ) -> None:
        """Live by this clock; nothing is ready."""
        super().__init__()
        self._clock = clock
        self._selector = _Jump(clock)
        self._ready = _Drawn(random, held_back, asyncio.Handle(_nothing, (), self))
        self._tasks_made = 0
        self.set_task_factory(_numbered)  # type: ignore[arg-type]  # its protocol is generic

    def time(self) -> float:
        """Return the clock's time, in seconds."""
        return self._clock.now()

    def resume(self, handles: list[asyncio.Handle]) -> None:
        """Let callbacks run that were held back."""
        for handle in handles:
            self._ready.append(handle)

    def number(self) -> int:
        """Return a number that no task has had."""
        self._tasks_made += 1
        return self._tasks_made

    def _process_events(self, event_list: list[Any]) -> None:
        """Have none: there is no I/O."""

    def _write_to_self(self) -> None:
        """Wake nobody: the loop never sleeps."""


class _Numbered(asyncio.Task[Any]):
    """A task whose place in a set does not depend on its address."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, loop: SeededLoop, **more: Any) -> None:  # noqa: ANN401  # asyncio's own
        self._number = loop.number()
        super().__init__(coro, loop=loop, **more)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


def _numbered(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any],
    **more: Any,  # noqa: ANN401  # as above
) -> asyncio.Task[Any]:
    assert isinstance(loop, SeededLoop), "the factory is this loop's"
    return _Numbered(coro, loop=loop, **more)


class _Drawn:
    """What is ready; stands in for the loop's deque."""

    def __init__(
        self,
        random: Random,
        held_back: Callable[[Context, asyncio.Handle], bool],
        nothing: asyncio.Handle,
    ) -> None:
        self._handles: list[asyncio.Handle] = []
        self._draw = random.random
        self._held_back = held_back
        self._nothing = nothing

    def __len__(self) -> int:
        return len(self._handles)

    def append(self, handle: asyncio.Handle) -> None:
        self._handles.append(handle)

    def popleft(self) -> asyncio.Handle:
        handles = self._handles
        at = int(self._draw() * len(handles))
        handle, handles[at] = handles[at], handles[-1]
        handles.pop()
        context = handle._context  # type: ignore[attr-defined]  # noqa: SLF001  # says whose it is
        return self._nothing if self._held_back(context, handle) else handle

    def clear(self) -> None:
        self._handles.clear()


class _Jump:
    """Stands in for a selector: moves the clock where that would wait."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self._turns += 1
        if timeout is None or self._turns > _MOST_TURNS:
            raise StuckError("everybody waits" if timeout is None else "it goes on for ever")
        if timeout > 0:
            self._clock.advance(timeout)
        return []

    def close(self) -> None:
        """Hold nothing."""


def _nothing() -> None:
    """Do nothing, in the place of what is held back."""
