"""
How plots look: few lines, named at their ends, in colours that everybody can tell apart.

The colours are those of Okabe and Ito; each series has a marker of its own too, so that a plot
can be read without colour.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

BLUE, SKY, VERMILION, GREEN, GREY = "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#777777"
YELLOW = "#F0E442"
DPI = 150
WIDTH_INCHES = 8.0


@dataclass(frozen=True, slots=True)
class Style:
    """How one series is drawn."""

    label: str
    color: str
    marker: str
    line: str = "-"


@contextmanager
def sheet(path: Path, title: str, panels: int = 1, height: float = 4.2) -> Iterator[list[Axes]]:
    """Give axes to draw on; the picture is written at the end."""
    with plt.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(1, panels, figsize=(WIDTH_INCHES, height), squeeze=False)
        try:
            figure.suptitle(title, fontsize=13, fontweight="bold", x=0.02, ha="left")
            yield list(axes[0])
            for one in axes[0]:
                _few_ticks(one)
            figure.tight_layout(rect=(0, _legend(figure, axes[0]), 1, 1))
            figure.savefig(path, dpi=DPI)
        finally:
            plt.close(figure)


def _legend(figure: Figure, axes: Iterable[Axes]) -> float:
    """Name the series beneath the axes, where they cover nothing; return the part it takes."""
    named: dict[str, Any] = {}
    for one in axes:
        for handle, name in zip(*one.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    if not named:
        return 0.0
    columns = 2 if len(named) == 4 else min(len(named), 3)
    figure.legend(
        named.values(),
        named,
        loc="lower center",
        ncols=columns,
        frameon=False,
        fontsize=9.5,
        columnspacing=1.2,
        handlelength=1.8,
    )
    return 0.02 + 0.05 * -(-len(named) // columns)


def log_axes(axes: Axes, x: str, y: str) -> None:
    """Make both axes logarithmic, with plain numbers and their units."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(plain))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, which="major", color="#e5e5e5")


def same_height(axes: Sequence[Axes], above: float = 1.2) -> None:
    """Give panels the same vertical axis, with some room above."""
    low = min(each.get_ylim()[0] for each in axes)
    high = max(each.get_ylim()[1] for each in axes)
    for each in axes:
        each.set_ylim(low, high * above)


def span(axes: Axes, x: float, low: float, high: float) -> None:
    """Mark by an arrow how many times ``high`` is ``low``."""
    arrow = {"arrowstyle": "<->", "color": "#444444", "linewidth": 1.2, "shrinkA": 4, "shrinkB": 4}
    axes.annotate("", xy=(x, low), xytext=(x, high), arrowprops=arrow)
    times = f"{high / low:.0f}×"
    axes.annotate(
        times, xy=(x, (low * high) ** 0.5), xytext=(6, 0), textcoords="offset points",
        fontsize=13, fontweight="bold", va="center",
    )  # fmt: skip


def _few_ticks(axes: Axes) -> None:
    """Name decades where there are several, else 1, 2 and 5 of each, so that names do not meet."""
    for axis, scale, (low, high) in (
        (axes.xaxis, axes.get_xscale(), axes.get_xlim()),
        (axes.yaxis, axes.get_yscale(), axes.get_ylim()),
    ):
        if scale == "log":
            axis.set_major_locator(LogLocator(subs=(1,) if high > low * 150 else (1, 2, 5)))


def draw(axes: Axes, style: Style, points: Mapping[int, float] | Mapping[float, float]) -> None:
    """Draw a series; it is named beneath the axes, where it covers nothing."""
    axes.plot(
        list(points),
        list(points.values()),
        color=style.color,
        marker=style.marker,
        linestyle=style.line,
        markersize=5,
        linewidth=2,
        label=style.label,
    )


def cumulative(axes: Axes, style: Style, values: Sequence[float]) -> None:
    """Draw which part of the values, in percent, is at most so large."""
    ordered = sorted(values)
    parts = [100 * (at + 1) / len(ordered) for at in range(len(ordered))]
    axes.plot(
        ordered, parts, color=style.color, linestyle=style.line, linewidth=2, label=style.label
    )


def decades(axes: Axes, x: str) -> None:
    """Make the horizontal axis logarithmic, with plain numbers and their unit."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(x)
    axes.set_axisbelow(True)
    axes.grid(visible=True, which="major", color="#e5e5e5")


def bars(axes: Axes, names: Sequence[str], values: Sequence[float], colors: Sequence[str]) -> None:
    """Draw one bar each, with its number at its end."""
    drawn = axes.barh(range(len(names)), values, color=list(colors))
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.bar_label(drawn, labels=[plain(value) for value in values], padding=3)
    axes.margins(x=0.2)


def stack(
    axes: Axes,
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    colors: Mapping[str, str],
) -> None:
    """Draw one bar each, its parts one after the other, with the sum at its end."""
    ends = [0.0] * len(names)
    for part, values in parts.items():
        axes.barh(
            range(len(names)), values, left=ends, color=colors[part], label=part, edgecolor="white"
        )
        ends = [end + value for end, value in zip(ends, values, strict=True)]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    for at, end in enumerate(ends):
        axes.annotate(plain(end), (end, at), xytext=(4, 0), textcoords="offset points", va="center")
    axes.margins(x=0.15)


def plain(value: float, _: object = None) -> str:
    """Write a number as people do: 0.5, 10, 1k, 1M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
