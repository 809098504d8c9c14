"""The claims of Story 1, against what was seen."""

import math
import random
import statistics
from dataclasses import dataclass
from typing import Any

from perf.lab.verdicts import Verdict
from perf.tokens import ESTIMATE, TIKTOKEN

Times = dict[str, dict[str, dict[int, list[float]]]]
"""Milliseconds by side, method and size of the session."""
Stages = list[dict[str, Any]]
"""What was seen at each number of users, in turn."""
BASE, WHOLE, APPEND = "whole document", "ours, whole transcript", "ours, append"
ESTIMATED = "whole document, tokens estimated"
NOOP, BYTES = "no-op", "bytes only"
FROM = 100
RESAMPLED = 300
FLAT = 0.01
"""A slope that makes 7 % of three decades."""


@dataclass(frozen=True, slots=True)
class Slope:
    """Of log time over log size: the estimate, and the 95 % interval of a bootstrap."""

    middle: float
    low: float
    high: float

    @property
    def growth(self) -> float:
        """The least growth within the interval; 0 if it holds 0, or is below."""
        return max(0.0, self.low)


def judge_size(long: Times) -> list[Verdict]:
    """Return the verdicts on one session that grows."""
    longest = max(long[APPEND]["POST"])
    verdicts = [
        Verdict(f"append p50 at {longest:,} messages / at {FROM}", _grown(long[APPEND]["POST"]),
                at_most=1.10),
        Verdict(f"last 20 p50 at {longest:,} messages / at {FROM}", _grown(long[APPEND]["GET"]),
                at_most=1.05),
    ]  # fmt: skip
    for name, method in (("append", "POST"), ("last 20", "GET")):
        found = slope(long[APPEND][method])
        claim = f"{name}: slope of log p50 over log size"
        verdicts += [
            Verdict(claim, found.middle),
            Verdict(f"{claim}, 95 % from", found.low),
            Verdict(f"{claim}, 95 % to", found.high),
            Verdict(f"{claim}, the least growth of its 95 %", found.growth, at_most=FLAT),
        ]
    ours, alone = long[WHOLE]["PUT"], long[BYTES]["PUT"]
    size = max(ours)
    verdicts += [
        Verdict(f"PUT of {each:,} messages with its echo / the same bytes sent and echoed",
                _p50(ours[each]) / _p50(alone[each]), at_most=2.0 if each == size else None)
        for each in sorted(ours)
    ]  # fmt: skip
    verdicts.append(
        Verdict(
            f"what PUT takes longer for {size:,} messages than for {FROM} / what its bytes do",
            (_p50(ours[size]) - _p50(ours[FROM])) / (_p50(alone[size]) - _p50(alone[FROM])),
            at_most=2.0,
        )
    )
    for counter, side in ((TIKTOKEN, BASE), (ESTIMATE, ESTIMATED)):
        theirs = long[side]["PUT"]
        verdicts += [
            Verdict(f"PUT of {each:,} messages p50, ours / whole document, {counter}",
                    _p50(ours[each]) / _p50(theirs[each]))
            for each in sorted(ours)
            if each >= FROM
        ]  # fmt: skip
    return verdicts


def judge_ramp(ramp: dict[str, dict[str, list[Stages]]]) -> list[Verdict]:
    """
    Return the verdicts on several long sessions at once, against the design we replace.

    The targets are against the server it stands for, which counts tokens by tiktoken.
    """
    verdicts = []
    for counter, sides in ramp.items():
        there = f"{sides[BASE][0][-1]['users']} sessions, {counter}"
        aimed = counter == TIKTOKEN
        for side, kind, turns, part in ((WHOLE, "whole-transcript", 10, 0.05),
                                        (APPEND, "append", 40, 0.02)):  # fmt: skip
            verdicts += [
                Verdict(f"{there}: {kind} turns/s, ours / whole document",
                        _ratio(sides, side, "per_second"), at_least=turns if aimed else None),
                Verdict(f"{there}: GET p95, ours ({kind}) / whole document",
                        _ratio(sides, side, "p95_ms"), at_most=part if aimed else None),
            ]  # fmt: skip
        verdicts += [
            Verdict(f"{there}: processors that Locust took, {side}",
                    statistics.median(each[-1]["locust_processors"] for each in rounds))
            for side, rounds in sides.items()
        ]  # fmt: skip
    return verdicts


def judge_crowd(crowd: dict[str, Stages], stored: dict[int, Stages]) -> list[Verdict]:
    """
    Return the verdicts on many sessions: more at once, and more that are only kept.

    A thousand connections and what is sent over them cost Locust and the kernel something, too:
    what a turn then takes longer where no work is done for the same bytes is not held against ours.
    """
    rates = {
        name: {
            stage["users"]: (stage.get("GET") or stage["PUT"])["per_second"]
            for stage in stages
            if "GET" in stage or "PUT" in stage
        }
        for name, stages in crowd.items()
    }
    verdicts = [
        Verdict(f"{name}: turns/s, {users:,} users with a session each", rate)
        for name, by_users in rates.items()
        for users, rate in by_users.items()
    ]
    users = sorted(rates[APPEND])
    last, before = users[-1], users[-2]
    span = f"{last:,} users / {before}"
    verdicts += [
        Verdict(f"{name}: turns/s, {span}", rates[name][last] / rates[name][before],
                at_least=0.9 if name == APPEND else None)
        for name in (APPEND, WHOLE)
    ]  # fmt: skip
    for name, floor in ((APPEND, NOOP), (WHOLE, BYTES)):
        more = 1 / rates[floor][last] - 1 / rates[floor][before]
        kept = (1 / rates[name][before]) / (1 / rates[name][last] - more)
        claim = f"{name}: the same, less what a turn then takes longer with no work done"
        verdicts.append(Verdict(claim, kept, at_least=0.9))
    few, many = sorted(stored)
    kept_only = [stored[each][-1]["GET"]["per_second"] for each in (many, few)]
    at_once = stored[few][-1]["users"]
    claim = f"append turns/s of {at_once} users, {many:,} sessions / {few}"
    verdicts.append(Verdict(claim, kept_only[0] / kept_only[1], at_least=0.9))
    return verdicts


def judge_pace(paced: dict[str, Stages], pace: float) -> list[Verdict]:
    """Return the verdicts on turns that are due at a constant pace, the busiest stage."""
    verdicts = []
    for name, stages in paced.items():
        asked = stages[-1]["users"] / pace
        claim = f"{name}: turns/s answered of {asked:,.0f} due"
        at_least = None if name == BASE else 0.95
        verdicts.append(Verdict(claim, stages[-1]["GET"]["per_second"] / asked, at_least=at_least))
    theirs = paced[BASE][-1]["GET"]["p95_ms"]
    return verdicts + [
        Verdict(f"at that pace: GET p95, {name} / whole document",
                paced[name][-1]["GET"]["p95_ms"] / theirs)
        for name in (WHOLE, APPEND)
    ]  # fmt: skip


def slope(times: dict[int, list[float]], begin: int = FROM) -> Slope:
    """Return the slope of log p50 over log size from ``begin`` on, by resampling at each size."""
    chance = random.Random(1)
    kept = {size: seen for size, seen in times.items() if size >= begin}

    def once(p50: dict[int, float]) -> float:
        points = [(math.log(size), math.log(each)) for size, each in p50.items()]
        return float(statistics.linear_regression(*zip(*points, strict=True)).slope)

    slopes = sorted(
        once({size: _p50(chance.choices(seen, k=len(seen))) for size, seen in kept.items()})
        for _ in range(RESAMPLED)
    )
    low, high = slopes[round(RESAMPLED * 0.025)], slopes[round(RESAMPLED * 0.975) - 1]
    return Slope(once({size: _p50(seen) for size, seen in kept.items()}), low, high)


def _ratio(ramp: dict[str, list[Stages]], over: str, name: str) -> float:
    pairs = zip(ramp[over], ramp[BASE], strict=True)
    return float(statistics.median(a[-1]["GET"][name] / b[-1]["GET"][name] for a, b in pairs))


def _grown(times: dict[int, list[float]]) -> float:
    return _p50(times[max(times)]) / _p50(times[FROM])


def _p50(times: list[float]) -> float:
    return statistics.median(times)
