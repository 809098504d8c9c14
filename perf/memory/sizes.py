"""Messages whose lengths are spread as people's are: many short, a few very long."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

MEDIAN_CHARACTERS = 200
SIGMA = 1.0
BEGIN = datetime(2025, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)


def messages(count: int, seed: int) -> list[dict[str, Any]]:
    """
    Return messages in the contract's form, with log-normal lengths, the same for the same seed.

    All six fields, ids of 26 characters: as the clients of agent-memory-server send them.
    """
    chance = random.Random(seed)
    found: list[dict[str, Any]] = []
    for seq in range(count):
        length = max(8, min(20_000, round(MEDIAN_CHARACTERS * chance.lognormvariate(0, SIGMA))))
        time = BEGIN + timedelta(seconds=seq)
        found.append(
            {
                "role": "assistant" if seq % 2 else "user",
                "content": chance.randbytes(length // 2 + 1).hex()[:length],
                "id": f"01M7XQZ25B34HPQDA4{seq:08d}",
                "created_at": time.isoformat().replace("+00:00", "Z"),
                "persisted_at": None,
                "discrete_memory_extracted": "f",
            }
        )
    return found


def bare(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same messages with role and content alone: as users of the library send them."""
    return [{"role": message["role"], "content": message["content"]} for message in found]


def raw_bytes(found: list[dict[str, Any]]) -> int:
    """Return the bytes of the messages as JSON, nothing beside them."""
    return sum(
        len(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode())
        for message in found
    )
