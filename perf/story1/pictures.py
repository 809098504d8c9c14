"""The pictures of Story 1; the first is the README's."""

import statistics
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

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
from perf.story1.judge import APPEND, BASE, BYTES, ESTIMATED, NOOP, WHOLE, Stages, Times
from perf.tokens import ESTIMATE, TIKTOKEN

STYLES = {
    BASE: Style("whole-document design", VERMILION, "s"),
    ESTIMATED: Style("the same design, tokens estimated", VERMILION, "D", "--"),
    WHOLE: Style("memory-cache, PUT of everything", SKY, "^"),
    APPEND: Style("memory-cache, append", BLUE, "o"),
    BYTES: Style("the same bytes, no work", GREY, "x", ":"),
    NOOP: Style("a server that does nothing", GREY, "x", ":"),
}


def picture_size(long: Times, folder: Path) -> list[Picture]:
    """Draw what a growing session costs."""
    _headline(long, folder / "story1.png")
    _explained(long, folder / "bytes.png")
    return [
        Picture("story1.png", "One session that grows: latency against its size"),
        Picture("bytes.png", "PUT of everything, against sending and echoing the same bytes"),
    ]


def picture_users(
    ramp: dict[str, dict[str, list[Stages]]],
    crowd: dict[str, Stages],
    paced: dict[str, Stages],
    pace: float,
    folder: Path,
) -> list[Picture]:
    """Draw many at once: closed, where each waits for its answer, and at a constant pace."""
    sides = {BASE: ramp[TIKTOKEN][BASE], ESTIMATED: ramp[ESTIMATE][BASE]} | ramp[TIKTOKEN]
    _users(sides, folder / "ramp.png", "More users, each with a long session")
    _users(
        {name: [rows] for name, rows in crowd.items() if name != BYTES},
        folder / "crowd.png",
        "A crowd, each with a session",
    )
    _paced(paced, pace, folder / "paced.png")
    return [
        Picture("ramp.png", "Several long sessions at once"),
        Picture("crowd.png", "Many sessions at once"),
        Picture("paced.png", "Turns due at a constant pace"),
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
                    # Nothing is counted for a read: the two lines would be one.
                    if (name, method) == (ESTIMATED, "GET"):
                        continue
                    if times := long.get(name, {}).get(method):
                        draw(axes, style, {n: statistics.median(t) for n, t in times.items()})
        same_height((left, right))
        base, append = long[BASE], long[APPEND]
        for axes, theirs, ours in (
            (left, base["PUT"], append["POST"]),
            (right, base["GET"], append["GET"]),
        ):
            size = max(set(theirs) & set(ours))
            low, high = statistics.median(ours[size]), statistics.median(theirs[size])
            span(axes, size, low, high)


def _explained(long: Times, path: Path) -> None:
    with sheet(path, "PUT of everything: its bytes, and the rest") as (axes,):
        log_axes(axes, "messages in the session", "times what its bytes alone take")
        alone = {size: statistics.median(times) for size, times in long[BYTES]["PUT"].items()}
        for name in (BASE, ESTIMATED, WHOLE):
            times = long[name]["PUT"]
            draw(axes, STYLES[name], {n: statistics.median(times[n]) / alone[n] for n in alone})
        axes.axhline(1, color=GREY, linestyle=":", linewidth=2, label=STYLES[BYTES].label)


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


def _paced(paced: dict[str, Stages], pace: float, path: Path) -> None:
    with sheet(path, "Turns due at a constant pace", 2) as (left, right):
        for axes, title in ((left, "add a message"), (right, "read the last 20")):
            log_axes(axes, "turns due a second", "milliseconds (p95)")
            axes.set_title(title, fontsize=12)
        for name, stages in paced.items():
            _due(left, name, stages, pace, ("PUT", "POST"))
            _due(right, name, stages, pace, ("GET",))
        same_height((left, right))


def _due(axes: Axes, name: str, stages: Stages, pace: float, methods: tuple[str, ...]) -> None:
    points = {
        stage["users"] / pace: stage[method]["p95_ms"]
        for stage in stages
        for method in methods
        if method in stage
    }
    draw(axes, STYLES[name], points)
