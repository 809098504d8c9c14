"""What one worker process has of a server."""

from memory_cache._config import CacheConfig
from memory_cache.testing._bus import InMemoryBus
from memory_cache.testing._gates import Gates
from memory_cache.testing._server import InMemoryServer
from memory_cache.testing._store import InMemoryStore


class InMemoryWorker:
    """
    Store and bus of one worker, and the gates its calls pass.

    Example::

        server = InMemoryServer(clock)
        worker = InMemoryWorker(server)
        async with cache_over(worker.store, worker.bus, clock, CacheConfig()) as cache:
            ...
    """

    def __init__(self, server: InMemoryServer, config: CacheConfig | None = None) -> None:
        """Connect to nothing yet; ``config`` gives the limits that a store keeps."""
        self.gates = Gates()
        self.store = InMemoryStore(server, self.gates, config or CacheConfig())
        self.bus = InMemoryBus(server, self.gates)
