"""
Deterministic simulation: real caches, an in-memory server, and an order drawn from a seed.

    python -m memory_cache.testing.simulation --seeds 2000

A seed decides how many workers there are and how they are configured, what clients ask of them,
what happens to them, how long each message takes, and which of all that is ready in the event loop
runs first. So a seed that fails fails again, step by step.
"""

from memory_cache.testing.simulation._client import Client
from memory_cache.testing.simulation._engine import Engine
from memory_cache.testing.simulation._nemesis import Nemesis
from memory_cache.testing.simulation._peace import judge, settle
from memory_cache.testing.simulation._run import Outcome, simulate

__all__ = ["Client", "Engine", "Nemesis", "Outcome", "judge", "settle", "simulate"]
