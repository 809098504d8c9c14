"""
What tests of a program that uses this library may want, and tests of the library do.

An in-memory server shared by several workers, a clock moved by hand, gates to force the order
of calls, and one suite of checks that any ``Store`` and ``Bus`` must pass.
"""

from memory_cache.testing._bodies import body_of, sight
from memory_cache.testing._bus import InMemoryBus
from memory_cache.testing._bus_checks import BUS_CHECKS
from memory_cache.testing._change_checks import CHANGE_CHECKS
from memory_cache.testing._clock import ManualClock, ManualLoop
from memory_cache.testing._gates import Gate, Gates
from memory_cache.testing._place import Check, Place, Ports
from memory_cache.testing._read_checks import READ_CHECKS
from memory_cache.testing._record import Record
from memory_cache.testing._server import InMemoryServer, Moment
from memory_cache.testing._store import InMemoryStore
from memory_cache.testing._verdict import Anomaly, AnomalyKind, Loss, Staleness, Verdict
from memory_cache.testing._worker import InMemoryWorker
from memory_cache.testing.checker import check_history

STORE_CHECKS: tuple[Check, ...] = (*CHANGE_CHECKS, *READ_CHECKS)
"""What every ``Store`` must pass: one function per promise."""


async def check_store(place: Place) -> None:
    """
    Check that the store of a place keeps every promise of the port.

    Raises:
        AssertionError: it does not; the traceback names the check.
    """
    for check in STORE_CHECKS:
        await check(place)


async def check_bus(place: Place) -> None:
    """
    Check that the bus of a place keeps every promise of the port.

    Raises:
        AssertionError: it does not; the traceback names the check.
    """
    for check in BUS_CHECKS:
        await check(place)


__all__ = [
    "BUS_CHECKS",
    "STORE_CHECKS",
    "Anomaly",
    "AnomalyKind",
    "Check",
    "Gate",
    "Gates",
    "InMemoryBus",
    "InMemoryServer",
    "InMemoryStore",
    "InMemoryWorker",
    "Loss",
    "ManualClock",
    "ManualLoop",
    "Moment",
    "Place",
    "Ports",
    "Record",
    "Staleness",
    "Verdict",
    "body_of",
    "check_bus",
    "check_history",
    "check_store",
    "sight",
]
