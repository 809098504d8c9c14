"""`memory-cache stats`: what the workers of a server say of themselves, worker by worker."""

import http.client
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from memory_cache import Page

SECONDS: Final = 5.0

_NO_URL: Final = "--url must be that of a server: http://host:port"

_ASKED: Final = 16
"""Connections made for each worker, at most: which worker takes one is chance."""


class StatisticsError(Exception):
    """The server does not say; says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What workers answered, of so many that there are."""

    answers: Sequence[Mapping[str, Any]]
    workers: int


def ask(url: str) -> Asked:
    """
    Ask a server until each of its workers has answered, or chance will not have it so.

    Raises:
        StatisticsError: it cannot be asked.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise StatisticsError(_NO_URL) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise StatisticsError(_NO_URL)
    tls = parts.scheme == "https"
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    found: dict[int, Mapping[str, Any]] = {}
    workers, asked = 1, 0
    while len(found) < workers and asked < _ASKED * workers:
        try:
            with closing(kind(parts.hostname, port, timeout=SECONDS)) as connection:
                connection.request("GET", f"{parts.path.rstrip('/')}/v1/statistics")
                said = json.loads(connection.getresponse().read())
            found[said["pid"]] = said
            workers = said["workers"]
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise StatisticsError(f"the server cannot be asked: {reason}") from None
        except (ValueError, LookupError, TypeError):
            raise StatisticsError("what is there is no server of ours that counts") from None
        asked += 1
    return Asked([found[pid] for pid in sorted(found)], workers)


def store_figures(found: Sequence[Page | None], total: int) -> dict[str, int]:
    """Return what the store holds: all sessions, and of those that could be read the sums."""
    pages = [page for page in found if page is not None]
    return {
        "sessions": total,
        "sessions_looked_at": len(found),
        "damaged": len(found) - len(pages),
        "messages": sum(page.next - page.first for page in pages),
        "token_count": sum(page.token_count for page in pages),
        "bytes": sum(page.header.size for page in pages if page.header),
    }


def store_lines(figures: Mapping[str, int]) -> list[str]:
    """Return the store's figures as lines."""
    lines = [f"{'sessions':<22}{figures['sessions']:>16,}"]
    if figures["sessions_looked_at"] < figures["sessions"]:
        lines.append(f"of the {figures['sessions_looked_at']:,} most recently active:")
    if figures["damaged"]:
        lines.append(f"{'damaged':<22}{figures['damaged']:>16,}")
    lines += [f"{name:<22}{figures[name]:>16,}" for name in ("messages", "token_count", "bytes")]
    return lines


def worker_lines(asked: Asked) -> list[str]:
    """Return what each worker said as lines."""
    lines = []
    for said in asked.answers:
        held, budget = said["bytes_held"], said["bytes_budget"]
        ratio = said["hit_ratio"]
        fence = said["fence_p99_seconds"]
        lines += [
            "",
            f"worker {said['pid']}",
            _line("hit ratio", "no read yet" if ratio is None else f"{ratio:.1%}"),
            _line("reads", f"{said['reads']:,}"),
            _line(
                "near cache", f"{held:,} of {budget:,} bytes, {said['sessions_held']:,} sessions"
            ),
            _line("lease", f"{said['lease_seconds']:.2f} s left"),
            _line("fence, p99", "none yet" if fence is None else f"{fence * 1000:.1f} ms"),
            _line("suspects", _counted(said["suspects"])),
            _line("departures", _counted(said["departures"])),
            _line("audits", f"{said['audits']:,}; violations: {_counted(said['violations'])}"),
            _line("crashes", _counted(said.get("crashes", {}))),
        ]
    if len(asked.answers) < asked.workers:
        lines += ["", f"{len(asked.answers)} of {asked.workers} workers took a connection"]
    return lines


def _line(name: str, value: str) -> str:
    return f"  {name:<20}{value}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items())) or "none"
