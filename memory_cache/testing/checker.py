"""
Judge what clients of several workers saw.

A version's number is +1 per change, so the acknowledged changes of one history of a session are
in order already, and every answer says after which of them it stands. So no search is needed: one
sweep per history replays the changes in that order and holds each answer against what it must
show (``_check_pages``). Freedom is only where a client does not know what became of its
change: such an append may stand where no acknowledged one does, once; such a PUT may explain an
answer that nothing else explains, once. And a change that was refused across a fault may have been
executed, seen and lost before: an answer may show it until T after the refusal (``Scene.undoes``).
"""

from collections import defaultdict
from math import inf

from memory_cache.testing._check_lines import lines_of
from memory_cache.testing._check_ops import Scene, scene_of
from memory_cache.testing._check_pages import Sweep
from memory_cache.testing._check_stale import check_stale
from memory_cache.testing._check_versions import check_versions
from memory_cache.testing._verdict import Anomaly, AnomalyKind, Loss, Staleness, Verdict
from memory_cache.testing.history import Answer, Asked, Fault, Final, History, Read, Write

__all__ = ["Anomaly", "AnomalyKind", "Loss", "Staleness", "Verdict", "check_history"]


def check_history(history: History, bound: float) -> Verdict:
    """
    Judge a history; a pure function.

    A session that goes with no DELETE and no time to live is lost. A Final is judged as a read of
    everything after the end of time.

    Args:
        history: in any order. A session that has no Final is judged by its answers alone.
        bound: T, in seconds: how much older a BOUNDED answer may be than its asking.

    Raises:
        ValueError: a version is none.
    """
    writes, reads = defaultdict[str, list[Write]](list), defaultdict[str, list[Read]](list)
    for write in history.writes:
        writes[write.session].append(write)
    for read in history.reads:
        reads[read.session].append(read)
    for final in history.finals:
        reads[final.session].append(_as_read(final))
    may_lose = [fault for fault in history.faults if fault.may_lose]
    anomalies, staleness, losses = list[Anomaly](), list[Staleness](), list[Loss]()
    for session in sorted(writes.keys() | reads.keys()):
        scene = _check_session(session, writes[session], reads[session], may_lose, bound)
        anomalies += scene.anomalies
        staleness += scene.staleness
        losses += scene.losses
    return Verdict(tuple(anomalies), tuple(staleness), tuple(losses))


def _check_session(
    session: str, writes: list[Write], reads: list[Read], may_lose: list[Fault], bound: float
) -> Scene:
    scene = scene_of(session, writes, may_lose, bound)
    lines = lines_of(scene, reads)
    for line in lines:
        for branch in line.branches:
            Sweep(scene, branch.ops, whole=branch.whole).judge(branch.pages)
    check_versions(scene, lines, reads)
    check_stale(scene, lines, reads, bound)
    return scene


def _as_read(final: Final) -> Read:
    return Read(
        session=final.session,
        client="final",
        worker="store",
        sent=inf,
        done=inf,
        asked=Asked.NEWEST,
        answer=Answer.ABSENT if final.version is None else Answer.PAGE,
        version=final.version,
        first=final.first,
        next=final.first + len(final.sightings),
        start=final.first,
        sightings=final.sightings,
        tier="store",
    )
