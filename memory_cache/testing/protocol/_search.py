"""The search: breadth first, so that the first counterexample found is a shortest one."""

from collections.abc import Callable
from dataclasses import dataclass

from memory_cache.testing.protocol._checks import near_broken
from memory_cache.testing.protocol._model import Model
from memory_cache.testing.protocol._moves import moves
from memory_cache.testing.protocol._process import answer
from memory_cache.testing.protocol._shapes import World

_TELL_EVERY = 2048


@dataclass(frozen=True, slots=True)
class Counterexample:
    """What happened, step by step, and what is wrong after the last one."""

    steps: tuple[str, ...]
    wrong: str

    def lines(self) -> list[str]:
        """Return it as a numbered interleaving."""
        numbered = [f"{number:>4}. {step}" for number, step in enumerate(self.steps, 1)]
        return [*numbered, f"   => {self.wrong}"]


@dataclass(frozen=True, slots=True)
class Found:
    """
    What a search saw.

    ``states``: how many different ones; ``depth``: steps to the farthest; ``whole``: whether
    there were no more, rather than that a limit was met.
    """

    states: int
    depth: int
    whole: bool
    counterexample: Counterexample | None


def search(
    model: Model,
    start: World,
    *,
    depth: int | None = None,
    budget: int | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Found:
    """
    Look at every state that can be reached, until one breaks a promise.

    ``depth``: steps at most; ``budget``: states at most; ``tell`` is given the number of states
    and the depth now and then.
    """
    wrong = _wrong(model, start)
    if wrong:
        return Found(1, 0, whole=False, counterexample=Counterexample((), wrong))
    parents: dict[World, tuple[World, str] | None] = {start: None}
    level, reached = [start], 0
    while level and (depth is None or reached < depth):
        following: list[World] = []
        for world in level:
            for words, after in moves(model, world):
                if after in parents:
                    continue
                parents[after] = (world, words)
                wrong = _wrong(model, after)
                if wrong:
                    steps = _path(parents, after)
                    shown = Counterexample(steps, wrong)
                    return Found(len(parents), reached + 1, whole=False, counterexample=shown)
                following.append(after)
                if tell is not None and len(parents) % _TELL_EVERY == 0:
                    tell(len(parents), reached + 1)
                if budget is not None and len(parents) >= budget:
                    return Found(len(parents), reached + 1, whole=False, counterexample=None)
        level = following
        reached += bool(level)
    return Found(len(parents), reached, not level, None)


def _wrong(model: Model, world: World) -> str:
    if world.broken:
        return world.broken
    found = answer(model, world)
    return near_broken(world, *found) if found else ""


def _path(parents: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    steps: list[str] = []
    came = parents[world]
    while came is not None:
        world, words = came
        steps.append(words)
        came = parents[world]
    return tuple(reversed(steps))
