"""Where the whole-document design spends its time: each step of a PUT and of a GET by itself."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from redis import Redis

from perf.baselines.whole_document import Counter, dump, in_order, parse
from perf.story1.talk import Talk

ROUNDS = 7


def breakdown(url: str, sizes: list[int]) -> list[dict[str, Any]]:
    """Return, by size of the session, the median milliseconds of each step."""
    counter = Counter()
    rows = []
    with Redis.from_url(url, protocol=2) as store:
        for size in sizes:
            talk = Talk("breakdown")
            talk.grow(size)
            body = talk.body()
            document = parse(body)
            steps: dict[str, Callable[[], object]] = {
                "parse and validate": lambda body=body: parse(body),  # type: ignore[misc]
                "count tokens": lambda document=document: counter.total(document),  # type: ignore[misc]
                "sort": lambda document=document: in_order(document),  # type: ignore[misc]
                "serialise": lambda document=document: dump(document),  # type: ignore[misc]
                "SET": lambda body=body: store.set("breakdown", body),  # type: ignore[misc]
                "GET": lambda: store.get("breakdown"),
            }
            row: dict[str, Any] = {"messages": size, "tokens counted by": counter.name}
            for name, step in steps.items():
                row[name] = round(_milliseconds(step), 3)
            rows.append(row)
        store.delete("breakdown")
    return rows


def _milliseconds(step: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        step()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)
