"""The store and the bus on Redis; nothing else in this library imports redis-py."""

from redis.credentials import CredentialProvider

from memory_cache._redis.backend import RedisBackend
from memory_cache._redis.url import read_url

__all__ = ["CredentialProvider", "RedisBackend", "read_url"]
