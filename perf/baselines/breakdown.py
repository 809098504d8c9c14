"""Where the whole-document design spends its time: each step of a PUT and of a GET by itself."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from redis import Redis

from perf.baselines.whole_document import Counter, dump, in_order, parse
from perf.story1.talk import LAST, Talk

ROUNDS = 7
PUT_STEPS = ("parse and validate", "count tokens", "serialise", "SET")
GET_STEPS = ("GET", "parse and validate", "sort", f"serialise {LAST}")


def breakdown(url: str, sizes: list[int]) -> list[dict[str, Any]]:
    """Return, by size of the session, the median milliseconds of each step."""
    counter = Counter()
    rows = []
    with Redis.from_url(url, protocol=2) as store:
        for size in sizes:
            talk = Talk("breakdown")
            talk.grow(size)
            body = talk.body()
            row: dict[str, Any] = {"messages": size, "tokens counted by": counter.name}
            for name, step in _steps(store, counter, body).items():
                row[name] = round(_milliseconds(step), 3)
            rows.append(row)
        store.delete("breakdown")
    return rows


def _steps(store: Redis, counter: Counter, body: bytes) -> dict[str, Callable[[], object]]:
    document, last = parse(body), parse(body)
    last.messages = last.messages[-LAST:]
    return {
        "parse and validate": lambda: parse(body),
        "count tokens": lambda: counter.total(document),
        "serialise": lambda: dump(document),
        "SET": lambda: store.set("breakdown", body),
        "GET": lambda: store.get("breakdown"),
        "sort": lambda: in_order(document),
        f"serialise {LAST}": lambda: dump(last),
    }


def _milliseconds(step: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        step()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)
