"""What must hold. Each check returns what is wrong, in words, or nothing."""

from memory_cache.testing.protocol._model import Model
from memory_cache.testing.protocol._shapes import NONE, Data, Made, T, World, Write


def applied_twice(data: Data, write: Write) -> str:
    """Check that a change is made once, however often it is sent."""
    if write.operation not in data.applied:
        return ""
    return f"the {write.kind} {write.operation} was carried out twice"


def history_broken(model: Model, log: tuple[Made, ...]) -> str:
    """Check that a header tells which versions are in its history, and which were lost."""
    newest = len(log) - 1
    header = log[newest].header
    lineage = _lineage(log, newest)
    for version, made in enumerate(log):
        if model.holds(header, made.header.version) != (version in lineage):
            lost = "lost" if version in lineage else "part of the history"
            return f"{name(newest)} calls {name(version)} {lost}, which is not so"
        if version != newest and model.holds(made.header, header.version):
            return f"{name(version)} calls the later {name(newest)} part of its history"
    return ""


def _lineage(log: tuple[Made, ...], version: int) -> set[int]:
    found = set[int]()
    while version != NONE:
        found.add(version)
        version = log[version].parent
    return found


def near_broken(world: World, version: int, start: int, messages: tuple[str, ...]) -> str:
    """Check what the near cache would answer at this moment."""
    if version != NONE and world.log[version].messages[start:] != messages:
        return (
            f"the near cache answers {list(messages)} as {name(version)},"
            f" which is {list(world.log[version].messages)}"
        )
    if not _was_true_lately(world, version):
        return f"the near cache answers {name(version)}, which was replaced more than T ago"
    if not all(_shows(world, version, change) for change in world.acknowledged):
        return f"the near cache answers {name(version)}, older than an acknowledged own write"
    return ""


def newest_broken(world: World, version: int, since: int, source: str) -> str:
    """Check the answer to a read for the newest that began at moment ``since``."""
    if _last(world, version) >= since:
        return ""
    newer = name(world.truth[since].version)
    return f"a read for the newest gets {name(version)} from {source}; it began after {newer}"


def flight_broken(world: World, version: int) -> str:
    """Check a store's answer that a bounded read may have joined at the last moment."""
    if all(_shows(world, version, change) for change in world.acknowledged):
        return ""
    return f"a read joins a fetch of {name(version)}, older than an acknowledged own write"


def name(version: int) -> str:
    """Return what a version is called in words."""
    return "“no session”" if version == NONE else f"v{version + 1}"


def _was_true_lately(world: World, version: int) -> bool:
    truth = world.truth
    for at in range(len(truth) - 1, -1, -1):
        if truth[at].version == version:
            return True
        if truth[at].at <= world.now - T:
            return False
    return False


def _shows(world: World, version: int, change: int) -> bool:
    """Whether a version is not older than a change, or has what it added."""
    added = world.log[change].added
    if version != NONE and added and world.log[version].messages[-len(added) :] == added:
        return True
    return _last(world, version) >= _made_at(world, change)


def _last(world: World, version: int) -> int:
    truth = world.truth
    return max((at for at in range(len(truth)) if truth[at].version == version), default=-1)


def _made_at(world: World, change: int) -> int:
    return next((at for at, moment in enumerate(world.truth) if moment.change == change), -1)
