"""The store and the bus on Redis; nothing else in this library imports redis-py."""

from memory_cache._redis.backend import RedisBackend

__all__ = ["RedisBackend"]
