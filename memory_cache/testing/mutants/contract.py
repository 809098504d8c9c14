"""
``python -m memory_cache.testing.mutants.contract``: checks of bus and lane, on a real Valkey.

And one more, for which a connection must be cut at the right moment.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from memory_cache import CacheConfig, open_cache
from memory_cache._errors import StoreError
from memory_cache._ports import Bus
from memory_cache._ports import Store as StorePort
from memory_cache.testing import BUS_CHECKS, Check, Place
from memory_cache.testing._bus_checks import fenced, hear, listening
from memory_cache.testing._place import fresh_key, messages, refused, terms
from memory_cache.testing.faults.proxy import Proxy, Trap
from memory_cache.testing.faults.resp import ask
from memory_cache.testing.faults.store import Store
from memory_cache.testing.mutants.lane_checks import LANE_CHECKS


@dataclass(frozen=True, slots=True)
class _Worker:
    """Store and bus of a cache."""

    store: StorePort
    bus: Bus


def _place(port: int) -> Place:
    @asynccontextmanager
    async def worker(config: CacheConfig) -> AsyncIterator[_Worker]:
        # With its near cache off a cache leaves its bus to us.
        config = replace(config, near_cache_bytes=0)
        async with open_cache(f"redis://127.0.0.1:{port}", config=config) as cache:
            parts = cache._parts  # noqa: SLF001  # nothing public gives store and bus
            yield _Worker(parts.store, parts.listener._bus)  # noqa: SLF001  # as above

    async def flush() -> None:
        await ask(port, ("FLUSHALL",))

    return Place(worker, flush)


def _cut_off(port: int) -> Check:
    async def changes_are_heard_though_their_makers_are_cut_off(place: Place) -> None:
        """A change that the store has is heard, though who made it is cut off at once."""
        proxy = Proxy(port)
        await proxy.open()
        try:
            async with (
                _place(proxy.port).open(CacheConfig()) as maker,
                place.open(CacheConfig()) as other,
                listening(other.bus) as ear,
            ):
                key = fresh_key()
                await hear(other.bus, ear, key)
                # The first may find that the store does not know the script.
                await maker.store.append(key, messages(0, 1), None, terms())
                proxy.trap = Trap(b'{"n":1,', lambda: None)
                await refused(maker.store.append(key, messages(1, 2), None, terms()), StoreError)
                await fenced(other.bus, ear)
                assert len(ear.deltas(key)) == 2, "a change was not heard"  # noqa: PLR2004  # both
        finally:
            await proxy.aclose()

    return changes_are_heard_though_their_makers_are_cut_off


async def _broken() -> str:
    """Return the first check that fails; empty: none."""
    with tempfile.TemporaryDirectory(prefix="memory-cache-contract-") as folder:
        async with Store.running(Path(folder) / "store") as store:
            for check in (*BUS_CHECKS, _cut_off(store.port)):
                if broken := await _how(check, check(_place(store.port))):
                    return broken
            for lane_check in LANE_CHECKS:
                if broken := await _how(lane_check, lane_check(store)):
                    return broken
    return ""


async def _how(check: Callable[..., object], running: Awaitable[None]) -> str:
    """Return how a check fails; empty: it does not."""
    try:
        await running
    except Exception as error:  # noqa: BLE001  # however it fails, it fails
        return f"{check.__name__}: {error!r}"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0 if every check passed, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m memory_cache.testing.mutants.contract", description=__doc__
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcome there")
    given = parser.parse_args(arguments)
    broken = asyncio.run(_broken())
    if given.json:
        given.json.write_text(json.dumps({"broken": broken}) + "\n")
    sys.stdout.write(f"{broken or 'every check passed'}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
