"""Fixtures for tests of the server."""

from typing import Any

import pytest

from memory_cache_server import putting
from memory_cache_server.putting import Put, Putting


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[Put | None]:
    """What the short way did for each PUT that asked; None: nothing. Bodies of any size ask."""
    outcomes: list[Put | None] = []
    short = Putting._grown  # noqa: SLF001  # watched, not replaced

    async def watched(*call: Any) -> Put | None:  # noqa: ANN401  # handed on
        put = await short(*call)
        outcomes.append(put)
        return put

    monkeypatch.setattr(Putting, "_grown", watched)
    monkeypatch.setattr(putting, "SMALLEST_BODY", 0)
    return outcomes
