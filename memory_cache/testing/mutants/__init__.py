"""
Mutants: copies of this package, each with one rule of the design broken.

    python -m memory_cache.testing.mutants

Each must be caught, by the instrument its patch names: the simulation, the checks of the bus on a
real Valkey (``contract``), or the fault bench. A copy with nothing broken must pass all three.
"""

from memory_cache.testing.mutants.patches import Instrument, Patch, PatchError, patches
from memory_cache.testing.mutants.trial import Result, try_patch

__all__ = ["Instrument", "Patch", "PatchError", "Result", "patches", "try_patch"]
