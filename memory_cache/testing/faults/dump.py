"""A history on disk: one JSON object a line, for those who look into what went wrong."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from memory_cache.testing.history import Final, History, Read


def dump(history: History, path: Path) -> None:
    """Write everything that was seen, in the order in which it began; sightings by name."""
    with path.open("wb") as file:
        for line in sorted(_lines(history), key=lambda line: line["sent"]):
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def _lines(history: History) -> Iterator[dict[str, Any]]:
    for write in history.writes:
        yield {"what": "write", **asdict(write)}
    for read in history.reads:
        yield {"what": "read", **_named(read)}
    for fault in history.faults:
        yield {"what": "fault", "sent": fault.began, **asdict(fault)}
    for final in history.finals:
        yield {"what": "final", "sent": float("inf"), **_named(final)}


def _named(seen: Read | Final) -> dict[str, Any]:
    fields = {name: getattr(seen, name) for name in seen.__slots__ if name != "sightings"}
    return {**fields, "names": [sighting.name for sighting in seen.sightings]}
