"""The pictures of Story 1; the first is the README's."""

import statistics
from pathlib import Path
from typing import Any

from perf.lab.plots import (
    BLUE,
    GREY,
    SKY,
    VERMILION,
    Style,
    draw,
    log_axes,
    same_height,
    sheet,
    span,
)
from perf.lab.verdicts import Picture

STYLES = {
    "whole document": Style("whole-document design", VERMILION, "s"),
    "ours, whole transcript": Style("memory-cache, PUT of everything", SKY, "^"),
    "ours, append": Style("memory-cache, append", BLUE, "o"),
    "bytes only": Style("the same bytes, no work", GREY, "x", ":"),
}
Times = dict[str, dict[str, dict[int, list[float]]]]


def pictures(
    long: Times,
    ramp: dict[str, list[Any]],
    crowd: dict[str, list[dict[str, Any]]],
    folder: Path,
) -> list[Picture]:
    """Draw all of them."""
    _headline(long, folder / "story1.png")
    _users(ramp, folder / "ramp.png", "More users, each with a long session")
    _users(
        {name: [rows] for name, rows in crowd.items()},
        folder / "crowd.png",
        "A crowd, each with a session",
    )
    return [
        Picture("story1.png", "One session that grows: latency against its size"),
        Picture("ramp.png", "Several long sessions at once"),
        Picture("crowd.png", "Many sessions at once"),
    ]


def _headline(long: Times, path: Path) -> None:
    with sheet(path, "One conversation, growing: what a turn costs (median)", 2) as (left, right):
        for axes in (left, right):
            log_axes(axes, "messages in the session", "milliseconds")
        left.set_title("add a message", fontsize=12)
        right.set_title("read the last 20", fontsize=12)
        for name, style in STYLES.items():
            for axes, methods in ((left, ("PUT", "POST")), (right, ("GET",))):
                for method in methods:
                    if times := long.get(name, {}).get(method):
                        draw(axes, style, {n: statistics.median(t) for n, t in times.items()})
        same_height((left, right))
        base, append = long["whole document"], long["ours, append"]
        for axes, theirs, ours in (
            (left, base["PUT"], append["POST"]),
            (right, base["GET"], append["GET"]),
        ):
            size = max(set(theirs) & set(ours))
            low, high = statistics.median(ours[size]), statistics.median(theirs[size])
            span(axes, size, low, high)


def _users(seen: dict[str, list[Any]], path: Path, title: str) -> None:
    with sheet(path, title, 2) as (left, right):
        log_axes(left, "users", "turns a second")
        log_axes(right, "users", "milliseconds (p95)")
        left.set_title("throughput: a turn is a change and a read", fontsize=11)
        right.set_title("read the last 20", fontsize=11)
        for name, rounds in seen.items():
            rows = [row for row in zip(*rounds, strict=True) if "GET" in row[0]]
            for axes, what in ((left, "per_second"), (right, "p95_ms")):
                points = {
                    row[0]["users"]: statistics.median(each["GET"][what] for each in row)
                    for row in rows
                }
                draw(axes, STYLES[name], points)
