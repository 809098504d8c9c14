"""
The times of a session's events, which need not be in the order of the events.

They are times of the machines that made the events. What is asked for since some time may stand
before an older event; how far back that can be is told by two numbers that the session keeps.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Times(NamedTuple):
    """
    What is known of the times of all events.

    ``latest``: the latest one. ``overtaken``: the latest one after which an earlier one came. Of
    a time later than that we know: all events since then stand together at the end.
    """

    latest: float = -math.inf
    overtaken: float = -math.inf

    @property
    def fields(self) -> dict[str, float | None]:
        """The fields in which it is kept."""
        overtaken = None if math.isinf(self.overtaken) else self.overtaken
        return {"latest": self.latest, "overtaken": overtaken}


def has_all(
    events: Sequence[Mapping[str, Any]], known: Times | None, count: int | None, after: float
) -> bool:
    """
    Whether the newest events are all, or the last ``count``, of those not before a time.

    ``known``: what is known of all events.
    """
    times = [each["timestamp"] for each in events]
    if count is not None and sum(time >= after for time in times) >= count:
        return True
    return known is not None and known.overtaken < after and min(times) < after


def times_of(fields: Mapping[str, Any], since: Sequence[Mapping[str, Any]]) -> Times | None:
    """
    Return what is known of the times of all events; None: it was made by an older version.

    ``fields``: of the session; ``since``: the events that came after its checkpoint.
    """
    known = Times(fields.get("latest", -math.inf), fields.get("overtaken", -math.inf))
    if fields["state_seq"] > 0 and "latest" not in fields:
        return None
    for event in since:
        time = event["timestamp"]
        overtaken = known.latest if time < known.latest else known.overtaken
        known = Times(max(known.latest, time), max(known.overtaken, overtaken))
    return known
