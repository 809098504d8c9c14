"""What followers saw, judged: whether it was right, and how long it took, around the kill."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import orjson

from perf.followers.client import Told
from perf.lab.plots import BLUE, GREY, VERMILION, Style, sheet
from perf.lab.plots import draw as line
from perf.lab.verdicts import Verdict

MOST_MILLISECONDS = 50.0
SETTLE_SECONDS = 1.0


@dataclass(slots=True)
class One:
    """What one follower saw."""

    session: int
    told: list[Told]
    connections: list[dict[str, float]]

    def back_at(self) -> float:
        """When it was answered again, after it had been cut off for the last time."""
        return self.connections[-1].get("answered", float("inf"))


@dataclass(slots=True)
class Played:
    """What all of them saw."""

    killed_at: float
    followers: list[One]
    wrong: list[str]
    clients_late: list[tuple[float, float]]
    clients_cpu_seconds: float
    writer_late: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, text: bytes, killed_at: float) -> Self:
        """Read what the clients wrote."""
        document = orjson.loads(text)
        followers = [
            One(one["session"], [Told(*told) for told in one["told"]], one["connections"])
            for one in document["followers"]
        ]
        wrong = [
            f"follower {at}: {text}"
            for at, one in enumerate(document["followers"])
            for text in one["wrong"]
        ]
        late = [(due, seconds) for due, seconds in document["late"]]
        return cls(killed_at, followers, wrong, late, document["cpu_seconds"])

    @property
    def cut(self) -> list[One]:
        """Those who were cut off."""
        return [one for one in self.followers if len(one.connections) > 1]

    @property
    def kept(self) -> list[One]:
        """Those who were not."""
        return [one for one in self.followers if len(one.connections) == 1]

    @property
    def over_at(self) -> float:
        """When the wave was over: the last one is back."""
        return max((one.back_at() for one in self.cut), default=self.killed_at)

    def before(self) -> list[Told]:
        """Return what was told before the kill."""
        end = self.killed_at - SETTLE_SECONDS
        return [told for told in _all(self.followers) if told.at < end]

    def within(self, some: Iterable[One]) -> list[Told]:
        """Return what was under way during the wave, of some followers."""
        end = self.over_at
        return [told for told in _all(some) if told.came >= self.killed_at and told.at <= end]


def compared(played: Played, stored: Sequence[Sequence[int]], each: int) -> list[str]:
    """Return how what was told differs from the messages that are stored."""
    wrong = [
        f"session {at}: {len(found)} different messages stored of {each}"
        for at, found in enumerate(stored)
        if sorted(found) != list(range(each))
    ]
    for at, one in enumerate(played.followers):
        told = [(each.seq, each.n) for each in one.told]
        right = list(enumerate(stored[one.session]))
        if told != right:
            same = next(
                (
                    where
                    for where, pair in enumerate(zip(told, right, strict=False))
                    if pair[0] != pair[1]
                ),
                min(len(told), len(right)),
            )
            wrong.append(
                f"follower {at}: {len(told)} of {len(right)}, different from the {same}th on:"
                f" {told[same : same + 3]}, not {right[same : same + 3]}; {one.connections}"
            )
    return wrong


def judged(ours: Played, floor: Played, kibibytes: float) -> list[Verdict]:
    """Return what is claimed, and what one must know beside it."""
    everything = _all(ours.followers)
    late = sum(told.came - told.at > MOST_MILLISECONDS / 1000 for told in everything)
    return [
        Verdict("messages missing, doubled, wrong or out of order",
                float(len(ours.wrong) + len(floor.wrong)), at_most=0),
        Verdict(f"p99 of all {len(everything):,} deliveries, `kill -9` of a worker within, ms",
                p99(everything), at_most=MOST_MILLISECONDS),
        Verdict("p99 before the kill, ms", p99(ours.before()), at_most=MOST_MILLISECONDS),
        Verdict("p99 in the wave, followers of the other worker, ms",
                p99(ours.within(ours.kept)), at_most=MOST_MILLISECONDS),
        *_wave(ours, ""),
        *_wave(floor, " (floor)"),
        Verdict("p99 in the wave, followers of the other worker, ms (floor)",
                p99(floor.within(floor.kept))),
        Verdict("p99 before the kill, ms (floor)", p99(floor.before())),
        Verdict(f"deliveries that took longer than {MOST_MILLISECONDS:.0f} ms, %",
                100 * late / len(everything)),
        Verdict("p50 of all, ms", statistics.median(_taken(everything))),
        Verdict("the longest, ms", max(_taken(everything))),
        Verdict("the clients' own lateness: p99, ms",
                _p99(seconds * 1e3 for _, seconds in ours.clients_late)),
        Verdict("the clients' own lateness: the longest in the wave, ms", _latest(ours)),
        Verdict("the writer's own lateness: p99, ms",
                _p99(seconds * 1e3 for seconds in ours.writer_late)),
        Verdict("resident KiB of a worker per follower", kibibytes),
    ]  # fmt: skip


def _wave(played: Played, which: str) -> list[Verdict]:
    back = [(one.back_at() - played.killed_at) * 1e3 for one in played.cut]
    return [
        Verdict(f"followers cut off{which}", float(len(back))),
        Verdict(f"cut off until answered again: median, ms{which}", statistics.median(back)),
        Verdict(f"cut off until answered again: the last, ms{which}", max(back)),
        Verdict(f"p99 in the wave, followers cut off, ms{which}", p99(played.within(played.cut))),
    ]


def _latest(played: Played) -> float:
    end = played.over_at
    return (
        max(seconds for due, seconds in played.clients_late if played.killed_at <= due <= end) * 1e3
    )


def p99(told: Iterable[Told]) -> float:
    """Return the 99th percentile of how long they took, in milliseconds."""
    return _p99(_taken(told))


def _p99(values: Iterable[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def _taken(told: Iterable[Told]) -> list[float]:
    return [(each.came - each.at) * 1e3 for each in told]


def _all(followers: Iterable[One]) -> list[Told]:
    return [told for one in followers for told in one.told]


def draw(path: Path, ours: Played, floor: Played) -> None:
    """Draw how long messages took by when they were appended, around the kill."""
    with sheet(path, "A worker is killed: how long a message took", 1) as (axes,):
        for style, played, some in (
            (Style("cut off", VERMILION, ""), ours, ours.cut),
            (Style("cut off (floor)", VERMILION, "", ":"), floor, floor.cut),
            (Style("of the other worker", BLUE, ""), ours, ours.kept),
            (Style("of the other worker (floor)", GREY, "", ":"), floor, floor.kept),
        ):
            line(axes, style, _slices(played, some))
        axes.set_yscale("log")
        axes.set_xlabel("seconds since the kill when it was appended")
        axes.set_ylabel("p99 of each 50 ms, ms")


def _slices(played: Played, some: Sequence[One]) -> dict[float, float]:
    slices: dict[int, list[Told]] = {}
    for told in _all(some):
        at = round((told.at - played.killed_at) * 20)
        if -20 <= at <= 40:
            slices.setdefault(at, []).append(told)
    return {at / 20: p99(slices[at]) for at in sorted(slices) if len(slices[at]) > 1}
