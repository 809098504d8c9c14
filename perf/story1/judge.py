"""The claims of Story 1, against what was seen."""

import math
import random
import statistics
from typing import Any

from perf.lab.verdicts import Verdict

Times = dict[str, dict[str, dict[int, list[float]]]]
FROM = 100
RESAMPLED = 300


def judge(
    long: Times,
    ramp: dict[str, list[Any]],
    crowd: dict[str, list[dict[str, Any]]],
) -> list[Verdict]:
    """Return every verdict of Story 1."""
    base, whole, append = "whole document", "ours, whole transcript", "ours, append"
    users = ramp[base][0][-1]["users"]
    there = f"{users} sessions"
    verdicts = [
        Verdict(f"{there}: whole-transcript turns/s, ours / whole document",
                _ratio(ramp, whole, base, "per_second"), at_least=10),
        Verdict(f"{there}: GET p95, ours (whole transcript) / whole document",
                _ratio(ramp, whole, base, "p95_ms"), at_most=0.05),
        Verdict(f"{there}: append turns/s / whole-document turns/s",
                _ratio(ramp, append, base, "per_second"), at_least=40),
        Verdict(f"{there}: GET p95, ours (append) / whole document",
                _ratio(ramp, append, base, "p95_ms"), at_most=0.02),
    ]  # fmt: skip
    longest = max(long[append]["POST"])
    verdicts += [
        Verdict(
            f"append p50 at {longest:,} messages / at {FROM}",
            _grown(long[append]["POST"]),
            at_most=1.10,
        ),
        Verdict(
            f"last 20 p50 at {longest:,} messages / at {FROM}",
            _grown(long[append]["GET"]),
            at_most=1.05,
        ),
        Verdict(
            "append: slope of log p50 over log size, the nearest to 0 of its 95 %",
            slope_nearest_zero(long[append]["POST"]),
            at_most=0.01,
        ),
    ]
    size = max(long[whole]["PUT"])
    verdicts.append(
        Verdict(
            f"PUT of {size:,} messages with its echo / the same bytes sent and echoed",
            _p50(long[whole]["PUT"][size]) / _p50(long["bytes only"]["PUT"][size]),
            at_most=2.0,
        )
    )
    last, middle = crowd[append][-1], crowd[append][1 if len(crowd[append]) > 2 else 0]
    verdicts.append(
        Verdict(
            f"append turns/s, {last['users']:,} users / {middle['users']}",
            last["GET"]["per_second"] / middle["GET"]["per_second"],
            at_least=0.9,
        )
    )
    return verdicts


def slope_nearest_zero(times: dict[int, list[float]], begin: int = FROM) -> float:
    """Return the least steep slope within the 95 % interval of a bootstrap; 0 if it holds 0."""
    chance = random.Random(1)
    slopes = []
    for _ in range(RESAMPLED):
        points = [
            (math.log(size), math.log(_p50(chance.choices(seen, k=len(seen)))))
            for size, seen in times.items()
            if size >= begin
        ]
        slopes.append(statistics.linear_regression(*zip(*points, strict=True)).slope)
    slopes.sort()
    low, high = slopes[round(RESAMPLED * 0.025)], slopes[round(RESAMPLED * 0.975) - 1]
    return 0.0 if low <= 0 <= high else min(abs(low), abs(high))


def _ratio(ramp: dict[str, list[Any]], over: str, under: str, name: str) -> float:
    pairs = zip(ramp[over], ramp[under], strict=True)
    return float(statistics.median(a[-1]["GET"][name] / b[-1]["GET"][name] for a, b in pairs))


def _grown(times: dict[int, list[float]]) -> float:
    return _p50(times[max(times)]) / _p50(times[FROM])


def _p50(times: list[float]) -> float:
    return statistics.median(times)
