"""Where the whole-document design spends its time: each step of a PUT and of a GET by itself."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from redis import Redis

from perf.baselines.whole_document import Document, dump, in_order, parse, total
from perf.story1.talk import LAST, Talk
from perf.tokens import COUNTERS, count_by

ROUNDS = 7
COUNTS = {counter: f"count tokens ({counter})" for counter in COUNTERS}
PUT_STEPS = ("parse and validate", *COUNTS.values(), "serialise", "SET")
GET_STEPS = ("GET", "parse and validate", "sort", f"serialise {LAST}")


def breakdown(url: str, sizes: list[int]) -> list[dict[str, Any]]:
    """Return, by size of the session, the median milliseconds of each step."""
    counters = {name: count_by(counter) for counter, name in COUNTS.items()}
    rows = []
    with Redis.from_url(url, protocol=2) as store:
        for size in sizes:
            talk = Talk("breakdown")
            talk.grow(size)
            body = talk.body()
            row: dict[str, Any] = {"messages": size}
            for name, step in _steps(store, counters, body).items():
                row[name] = round(_milliseconds(step), 3)
            rows.append(row)
        store.delete("breakdown")
    return rows


def _steps(
    store: Redis, counters: dict[str, Callable[[str], int]], body: bytes
) -> dict[str, Callable[[], object]]:
    document, last = parse(body), parse(body)
    last.messages = last.messages[-LAST:]
    return {
        "parse and validate": lambda: parse(body),
        **{name: _counting(document, count) for name, count in counters.items()},
        "serialise": lambda: dump(document),
        "SET": lambda: store.set("breakdown", body),
        "GET": lambda: store.get("breakdown"),
        "sort": lambda: in_order(document),
        f"serialise {LAST}": lambda: dump(last),
    }


def _counting(document: Document, count: Callable[[str], int]) -> Callable[[], object]:
    return lambda: total(document, count)


def _milliseconds(step: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        step()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)
