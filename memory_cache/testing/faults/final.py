"""What the store holds when all is over, read from its keys by a reader that shares no code."""

from pathlib import Path
from typing import Any

from memory_cache.testing.faults.recorder import Recorder
from memory_cache.testing.faults.resp import ask
from memory_cache.testing.history import Final

_BLOCK = 64


async def finals(place: int | Path, sessions: list[str], recorder: Recorder) -> list[Final]:
    """
    Return what each session is in the store, which is at a port or at a unix socket.

    Raises:
        OSError, TimeoutError, StoreRefusedError: the store does not answer.
        ValueError: what it holds makes no sense.
    """
    replies = await ask(
        place, *(("HGETALL", f"mc:{{{session}}}") for session in sessions), patience=30.0
    )
    return [
        _final(session, reply, recorder) for session, reply in zip(sessions, replies, strict=True)
    ]


def _final(session: str, reply: list[Any], recorder: Recorder) -> Final:
    held = dict(zip(reply[::2], reply[1::2], strict=True))
    if not held:
        return Final(session, None, 0, ())
    _, inc, num, tag, first, next_, *_, eras = held[b"h"].decode().split(" ")
    era = eras.split(",")[-1].partition(":")[0]
    bodies: list[bytes] = []
    seq = int(first)
    while seq < int(next_):
        block = held.get(b"b%d" % (seq // _BLOCK))
        found = [held[b"m%d" % seq]] if block is None else block.split(b"\n")
        bodies += found
        seq += len(found)
    if seq != int(next_):
        raise ValueError(session)
    sightings = tuple(recorder.sighting(body.decode()) for body in bodies)
    return Final(session, f"{inc}.{era}.{num}.{tag}", int(first), sightings)
